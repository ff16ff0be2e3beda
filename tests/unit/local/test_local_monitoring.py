"""Since when the monitor of this machine looks: the deployment's own word counts, not the file's age."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from local.monitoring import _deployed_at


@pytest.mark.parametrize(
    ("content", "since"),
    [
        ({"deployed_at": "2026-01-31T10:30:00.000Z"}, "2026-01-31T10:30:00.000Z"),
        ({}, "2001-09-09T01:46:40+00:00"),
    ],
    ids=["said", "earlier imgpipe"],
)
def test_a_live_file_that_was_copied_again_is_as_old_as_it_says(
    tmp_path: Path, content: dict[str, str], since: str
) -> None:
    live = tmp_path / "live.json"
    live.write_text(json.dumps(content))
    os.utime(live, (1e9, 1e9))
    assert _deployed_at(live) == since
