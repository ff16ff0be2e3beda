"""Definitions of the real environments, built once."""

from __future__ import annotations

import pytest
from environment_definitions import FULL, SHARDED, definition_of

from pipeline_def.settings import REGISTERING_PIPELINES


@pytest.fixture(
    scope="session",
    params=[
        *((name, pipeline) for name in ("dev", "prod", FULL) for pipeline in REGISTERING_PIPELINES),
        (SHARDED, "train"),
    ],
    ids="-".join,
)
def definition(request: pytest.FixtureRequest) -> str:
    """The registering pipelines: of our own trainer's environment, the built-in algorithm's, everything; shards."""
    return definition_of(*request.param)


@pytest.fixture(scope="session")
def own() -> str:
    return definition_of("dev")


@pytest.fixture(scope="session")
def builtin() -> str:
    return definition_of("prod")


@pytest.fixture(scope="session")
def sharded() -> str:
    return definition_of(SHARDED)


@pytest.fixture(scope="session")
def tune() -> str:
    return definition_of("dev", "tune")


@pytest.fixture(scope="session")
def retrain() -> str:
    return definition_of("dev", "retrain")


@pytest.fixture(scope="session")
def full() -> str:
    return definition_of(FULL)
