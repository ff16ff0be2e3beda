"""What is written down of deployments on this machine, however they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import serving
from local.emulator.executions import EndedExecution
from local.endpoint.deployments import deployments
from local.endpoint.state import endpoint_directory
from local.errors import LocalRunError
from local.serving import ServingRequest, decide_locally, redeploy_locally

Deploy = Callable[..., Any]
SILENT = SimpleNamespace(phase=lambda text: None, state=lambda name: None)
OUTPUTS = {
    serving.ENDPOINT_OUTPUT: "e",
    serving.MACHINE_OUTPUT: "machine",
    serving.TOPIC_OUTPUT: "topic",
    serving.ARTIFACT_BUCKET_OUTPUT: "bucket",
}


@pytest.fixture
def request_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServingRequest:
    """Deployments into an account that is none: all that is left of one is how its machine ends."""
    endpoints = SimpleNamespace(close=lambda: None, error=ValueError("why"))
    steps = SimpleNamespace(start_execution=lambda **fields: {"executionArn": "execution"})
    delivery = SimpleNamespace(target="machine", error=None, answer="execution")
    deliveries: list[Any] = []
    events = SimpleNamespace(deliveries=deliveries)
    update = SimpleNamespace(update_model_package=lambda **fields: deliveries.append(delivery))
    account = SimpleNamespace(
        endpoints=endpoints,
        events=events,
        client=lambda service: update if service == "sagemaker" else steps,
        notifications=lambda topic: [],
    )

    @contextmanager
    def opened(*arguments: Any) -> Iterator[Any]:
        yield serving._Opened(account=account, outputs=OUTPUTS)  # type: ignore[arg-type]

    stored = SimpleNamespace(arn="arn", approval_status="PendingManualApproval")
    store = SimpleNamespace(version=lambda number: stored, set_approval=lambda number, status: None)
    monkeypatch.setattr(serving, "_opened", opened)
    monkeypatch.setattr(serving, "RegistryStore", lambda *arguments: store)
    monkeypatch.setattr(serving.state, "save", lambda *arguments, **named: None)
    return ServingRequest(environment="dev", project=tmp_path, home=tmp_path, interpreters={}, idle_seconds=1)


def ends(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    ended = EndedExecution(arn="execution", **fields)
    monkeypatch.setattr(serving, "follow", lambda *arguments, **named: ended)


def written(request: ServingRequest) -> list[tuple[int | None, str | None]]:
    directory = endpoint_directory(request.home, request.environment)
    return [(item.version, item.failure) for item in deployments(directory)]


def approve(request: ServingRequest, status: str = "Approved") -> Any:
    return decide_locally(request, version=3, status=status, observer=SILENT)


def test_success_and_failure_are_written_down_with_the_version(
    request_: ServingRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(monkeypatch, status="SUCCEEDED")
    approve(request_)
    ends(monkeypatch, status="FAILED", error="DeploymentFailed", cause="the endpoint is Failed: TypeError: no")
    assert isinstance(approve(request_).error, ValueError), "for a traceback"
    assert written(request_) == [(3, None), (3, "the endpoint is Failed: TypeError: no")]


def test_of_a_version_that_the_machine_chooses_nothing_is_said(
    request_: ServingRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends(monkeypatch, status="FAILED", error="States.Timeout")
    approve(request_, status="Rejected")
    redeploy_locally(request_, observer=SILENT)
    assert written(request_) == [(None, "States.Timeout")] * 2


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (LocalRunError("execution x still runs after 300 s"), "execution x still runs after 300 s"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_deployment_that_nobody_saw_end_has_failed(
    request_: ServingRequest, monkeypatch: pytest.MonkeyPatch, error: Exception, failure: str
) -> None:
    def follow(*arguments: Any, **named: Any) -> Any:
        raise error

    monkeypatch.setattr(serving, "follow", follow)
    with pytest.raises(type(error)):
        approve(request_)
    assert written(request_) == [(3, failure)]
