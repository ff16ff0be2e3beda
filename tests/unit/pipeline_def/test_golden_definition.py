"""The definitions of the environments, letter by letter: a change of theirs must be wished for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from environment_definitions import FULL, SHARDED, definition_of

from pipeline_def.settings import PIPELINES

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("environment", "pipeline"),
    [
        *((name, pipeline) for name in ("dev", "prod") for pipeline in PIPELINES),
        ("staging", "train"),
        (SHARDED, "train"),
        (FULL, "tune"),
    ],
)
def test_definition_is_the_golden_one(environment: str, pipeline: str) -> None:
    path = GOLDEN / f"{environment}-{pipeline}.json"
    definition = definition_of(environment, pipeline) + "\n"
    if os.environ.get("GOLDEN_UPDATE"):  # set by `make golden`
        path.write_text(definition, encoding="utf-8")
    assert definition == path.read_text(encoding="utf-8"), f"{path.name} differs: `make golden` if wished for"
