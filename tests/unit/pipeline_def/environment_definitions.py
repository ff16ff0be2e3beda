"""Definitions of the real environments, each built once."""

from __future__ import annotations

import functools

from infra.environments import load_environment
from pipeline_def.definition import build_definition


@functools.cache
def definition_of(environment: str) -> str:
    settings = load_environment(environment)
    return build_definition(settings.pipeline, region=settings.region)
