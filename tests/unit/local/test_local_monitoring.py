"""Since when the monitor of this machine looks, and what it keeps for the next time."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from local.emulator.account import emulated_account
from local.emulator.executions import EndedExecution
from local.monitoring import MonitoringRequest, _deployed_at, _live, _results


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


def test_of_two_kinds_of_endpoint_the_one_that_was_deployed_last_is_looked_at(tmp_path: Path) -> None:
    days = {"imgpipe-dev": "2026-01-30", "imgpipe-dev-serverless": "2026-01-31"}
    for endpoint, day in days.items():
        live = tmp_path / "objects" / "serving" / endpoint / "live.json"
        live.parent.mkdir(parents=True)
        live.write_text(json.dumps({"deployed_at": f"{day}T10:30:00.000Z"}))
    assert _live(tmp_path).parent.name == "imgpipe-dev-serverless"


@pytest.mark.parametrize("mark", ["30 of 50 distinct images since 2026-01-31T06:00:00Z\n", ""])
def test_a_result_is_kept_with_the_mark_that_the_next_window_looks_for(tmp_path: Path, mark: str) -> None:
    """See functions/select_window/results.py: a window whose mark says nothing, or is not there, counts as decided."""
    request = MonitoringRequest(environment="dev", project=tmp_path, home=tmp_path, interpreters={})
    prefix = "monitor/imgpipe-dev/2026/01/31/12"
    texts = {"monitor.json": "{}", "monitor.html": "<p>", "predictions.jsonl": "", "undecided.txt": mark}
    with emulated_account(region="us-east-1") as account:
        s3 = account.client("s3")
        s3.create_bucket(Bucket="artifacts")
        for name, text in texts.items():
            s3.put_object(Bucket="artifacts", Key=f"{prefix}/{name}", Body=text.encode())
        output = {"report": f"s3://artifacts/{prefix}/monitor.html"}
        ended = EndedExecution(arn="execution", status="SUCCEEDED", output=output)
        _, directory = _results(account, request, ended, bucket="artifacts")
    assert directory == request.directory / prefix
    assert {path.name: path.read_text() for path in directory.iterdir()} == texts
