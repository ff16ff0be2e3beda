"""Definitions of the real environments, built once."""

from __future__ import annotations

import pytest
from environment_definitions import SHARDED, definition_of


@pytest.fixture(scope="session", params=["dev", "prod", SHARDED])
def definition(request: pytest.FixtureRequest) -> str:
    """Of our own trainer's environment, of the built-in algorithm's, and with shards that are merged."""
    return definition_of(request.param)


@pytest.fixture(scope="session")
def own() -> str:
    return definition_of("dev")


@pytest.fixture(scope="session")
def builtin() -> str:
    return definition_of("prod")


@pytest.fixture(scope="session")
def sharded() -> str:
    return definition_of(SHARDED)
