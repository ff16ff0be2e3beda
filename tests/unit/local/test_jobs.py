"""Processing jobs of state machines end with the account that they belong to."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import local.jobs
from local.errors import LocalRunError
from local.jobs import ContainerJobs

PATIENCE_SECONDS = 30


def test_closing_ends_what_runs_and_waits_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()

    def run_processing(step: Any, request: Any, tools: Any) -> None:
        begun.set()
        assert tools.stop.wait(PATIENCE_SECONDS), "nobody says that it is to end"
        ended.set()

    monkeypatch.setattr(local.jobs, "run_processing", run_processing)
    jobs = ContainerJobs(account=None, images=(), runtime=None, directory=tmp_path)  # type: ignore[arg-type]
    thread = threading.Thread(target=jobs.run, args=("smoke-test", {}))
    thread.start()
    assert begun.wait(PATIENCE_SECONDS)
    jobs.close()
    assert ended.is_set()
    thread.join(PATIENCE_SECONDS)
    with pytest.raises(LocalRunError, match="job late cannot be started any more"):
        jobs.run("late", {})
