"""Where no endpoint runs on this machine, the error says why its deployment failed."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from rich.console import Console

from imgpipe import local_endpoint
from imgpipe.errors import CommandError
from imgpipe.local_endpoint import running_endpoint
from imgpipe.local_serving import print_result
from local.emulator.executions import EndedExecution
from local.endpoint.deployments import note_deployment
from local.endpoint.state import endpoint_directory
from local.registry.store import RegistryStore
from local.serving import ServingResult


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the endpoint has its files; version 3 is approved, version 4 is not."""
    monkeypatch.setattr(local_endpoint, "HOME", tmp_path)
    store = RegistryStore(tmp_path, "dev")
    with store.locked():
        for version, status in {3: "Approved", 4: "Rejected"}.items():
            store.add(
                version=version,
                arn=f"arn/{version}",
                created=datetime.now(timezone.utc),
                approval_status=status,
                bucket="b",
                request={},
                write_objects=lambda folder: None,
            )
    found = endpoint_directory(tmp_path, "dev")
    found.mkdir(parents=True)
    return found


def said() -> str:
    with pytest.raises(CommandError, match=r"^no local endpoint runs for environment dev.*`imgpipe approve") as error:
        running_endpoint("dev")
    return str(error.value)


def test_without_a_deployment_or_after_a_good_one_nothing_is_added(directory: Path) -> None:
    assert said().startswith("no local endpoint runs for environment dev: `imgpipe endpoint --local --start")
    note_deployment(directory, version=3, failure="lost its model")
    note_deployment(directory, version=3, failure=None)
    assert "lost its model" not in said()


@pytest.mark.parametrize(
    ("version", "what"),
    [
        (3, "version 3 is approved, but its deployment failed"),
        (4, "the newest deployment failed"),
        (None, "the newest deployment failed"),
    ],
)
def test_the_newest_deployment_failed(directory: Path, version: int | None, what: str) -> None:
    note_deployment(directory, version=3, failure=None)
    note_deployment(directory, version=version, failure=json.dumps({"errorMessage": "the endpoint\nis Failed"}))
    assert f"environment dev ({what} at 20" in said()
    assert ": the endpoint is Failed): `imgpipe endpoint --local --start --env dev`" in said()


def test_a_failed_deployment_has_its_traceback_for_debug() -> None:
    why = TypeError("no")
    ended = EndedExecution(arn="execution", status="FAILED", cause="the endpoint is Failed: TypeError: no")
    with pytest.raises(CommandError, match=r"^the deployment failed: the endpoint is Failed: TypeError: no$") as error:
        print_result("dev", ServingResult(execution=ended, error=why), Console())
    assert error.value.__cause__ is why
