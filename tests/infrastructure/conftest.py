"""Synthesises each environment once per session, in process, by the function that app.py uses."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.environments import available_environments, load_environment
from infra.node import use_node

use_node()

Template = dict[str, Any]
ENVIRONMENTS = available_environments()


@pytest.fixture(scope="session")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Environment name -> folder of its synthesised cloud assembly; cdk-nag has passed it."""

    @functools.cache
    def synthesise(environment: str) -> Path:
        from infra.app import build_app

        outdir = tmp_path_factory.mktemp(environment) / "cdk.out"
        build_app(load_environment(environment), outdir=outdir).synth()
        return outdir

    return synthesise


@pytest.fixture(scope="session")
def template(assembly: Callable[[str], Path]) -> Callable[[str, str], Template]:
    """(environment, stack) -> its template."""

    def read(environment: str, stack: str) -> Template:
        settings = load_environment(environment)
        path = assembly(environment) / f"{settings.prefix}-{stack}.template.json"
        loaded: Template = json.loads(path.read_text())
        return loaded

    return read


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every environment in turn."""
    return request.param
