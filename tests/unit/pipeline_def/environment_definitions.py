"""Definitions of the real environments and of a variant, each built once."""

from __future__ import annotations

import functools

from infra.environments import load_environment
from pipeline_def.definition import build_definition

SHARDED = "dev-5-instances"


@functools.cache
def definition_of(name: str) -> str:
    """Of an environment, or of dev with five instances that pack."""
    settings = load_environment("dev" if name == SHARDED else name)
    pipeline = settings.pipeline
    if name == SHARDED:
        packing = pipeline.preprocess.model_copy(update={"instance_count": 5})
        pipeline = pipeline.model_copy(update={"preprocess": packing})
    return build_definition(pipeline, region=settings.region)
