"""A version of the local registry, approved: the environment's own machine deploys it to an endpoint that answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError
from end_to_end import CommandLine
from served_model import picture, register

from local.endpoint.record import EndpointRecord, ProcessMark, read_record


def record(imgpipe: CommandLine) -> EndpointRecord:
    found = read_record(imgpipe.home / "endpoints" / "dev")
    assert found is not None
    return found


def processes(imgpipe: CommandLine) -> list[ProcessMark]:
    found = record(imgpipe)
    return [found.host, *found.programs]


def model_name(imgpipe: CommandLine) -> str:
    """The model that answers boto3."""
    found = record(imgpipe)
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
    runtime = session.client("sagemaker-runtime", endpoint_url=found.url)
    answer = runtime.invoke_endpoint(
        EndpointName=found.name, ContentType="image/png", Body=picture("red"), CustomAttributes="verbose=true"
    )
    content = json.loads(answer["Body"].read())
    assert content["predictions"][0]["label"] == "red"
    with pytest.raises(ClientError, match=r"Received client error \(4\d\d\) from primary"):
        runtime.invoke_endpoint(EndpointName=found.name, ContentType="image/png", Body=b"no picture")
    return str(content["model"]["name"])


@pytest.fixture
def registry(imgpipe: CommandLine, served: Path) -> Iterator[CommandLine]:
    """Three versions, the last of which fails its smoke test; whatever runs at the end is ended by its number."""
    for version, label in {1: "blue", 2: "blue", 3: "green"}.items():
        register(imgpipe.home, version, served, label=label)
    yield imgpipe
    left = read_record(imgpipe.home / "endpoints" / "dev")
    if left:
        left.end()


@pytest.mark.slow
def test_from_approval_to_the_end_of_the_endpoint(registry: CommandLine, tmp_path: Path) -> None:
    first = registry("approve", "1", "--local")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "Version 1 serves endpoint imgpipe-dev" in first.stdout
    assert model_name(registry).startswith("imgpipe-dev-v1-")

    second = registry("approve", "2", "--local")
    assert second.returncode == 0, second.stdout + second.stderr
    assert model_name(registry).startswith("imgpipe-dev-v2-")

    (tmp_path / "red.png").write_bytes(picture("red"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    predicted = registry("predict", "--local", "--json", str(tmp_path / "red.png"), str(tmp_path / "broken.png"))
    assert predicted.returncode == 1
    broken, red = sorted(map(json.loads, predicted.stdout.splitlines()), key=lambda line: line["image"])
    assert (red["label"], red["accepted"]) == ("red", True)
    assert "no image" in broken["error"]

    failed = registry("approve", "3", "--local")
    assert failed.returncode == 1
    assert "smoke test failed" in failed.stderr
    assert model_name(registry).startswith("imgpipe-dev-v2-")

    rejected = registry("approve", "3", "--local", "--reject")
    assert rejected.returncode == 0, rejected.stdout + rejected.stderr
    back = registry("approve", "2", "--local", "--reject")
    assert back.returncode == 0, back.stdout + back.stderr
    assert model_name(registry).startswith("imgpipe-dev-v1-")

    marks = processes(registry)
    assert all(mark.process() for mark in marks)
    shown = registry("endpoint", "--local")
    assert "imgpipe-dev-v1-" in shown.stdout
    stopped = registry("endpoint", "--local", "--stop")
    assert stopped.returncode == 0, stopped.stderr
    assert not any(mark.process() for mark in marks)
    assert "no local endpoint runs for environment dev" in registry("predict", "--local", str(tmp_path)).stderr


@pytest.mark.slow
def test_a_killed_endpoint_is_recognised_and_brought_back(registry: CommandLine) -> None:
    """With the version that served last; a newer one is approved, too."""
    for version in ("1", "2"):
        assert registry("approve", version, "--local").returncode == 0
    again = registry("approve", "1", "--local")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "/1: Approved already, so the state machine is started directly" in again.stdout
    assert model_name(registry).startswith("imgpipe-dev-v1-")
    marks = processes(registry)
    psutil.Process(marks[0].pid).kill()
    gone = registry("endpoint", "--local")
    assert gone.returncode == 1
    assert "no local endpoint runs" in gone.stderr
    assert not any(mark.process() for mark in marks), "its programs are ended too"
    back = registry("endpoint", "--local", "--start")
    assert back.returncode == 0, back.stdout + back.stderr
    assert model_name(registry).startswith("imgpipe-dev-v1-")


def test_a_decision_alone_deploys_nothing(registry: CommandLine) -> None:
    noted = registry("approve", "1", "--local", "--no-deploy")
    assert noted.returncode == 0
    assert "Approved; nothing is deployed" in noted.stdout
    assert read_record(registry.home / "endpoints" / "dev") is None


def test_a_version_that_is_not_there_is_one_line(registry: CommandLine) -> None:
    unknown = registry("approve", "9", "--local")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "error: there is no version 9: choose one of 3, 2, 1\n"
