"""Definitions of the real environments, built once."""

from __future__ import annotations

import pytest
from environment_definitions import definition_of


@pytest.fixture(scope="session", params=["dev", "prod"])
def definition(request: pytest.FixtureRequest) -> str:
    """Of our own trainer's environment and of the built-in algorithm's."""
    return definition_of(request.param)


@pytest.fixture(scope="session")
def own() -> str:
    return definition_of("dev")


@pytest.fixture(scope="session")
def builtin() -> str:
    return definition_of("prod")
