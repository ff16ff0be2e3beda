"""Fleets of a local endpoint as the hosting starts them: where they listen, and what is left of them."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local.assembly import ImageAsset
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.clock import MINUTE, minute_of
from local.emulator.hosting import FleetRequest
from local.endpoint import control, state
from local.endpoint.fleet_files import fleet_directory
from local.endpoint.hosting import LocalHosting
from local.endpoint.record import EndpointRecord, read_record

ENDPOINT, BUCKET = "imgpipe-dev", "models"
DIMENSIONS = [{"Name": "EndpointName", "Value": ENDPOINT}, {"Name": "VariantName", "Value": "AllTraffic"}]
PATIENCE_SECONDS = 60
# Listens where it is told to, everywhere without being told, as the serving container's program does. Answers a body of
# digits with that status.
PROGRAM = """
import http.server, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"crash":
            os._exit(7)
        self.send_response(int(body) if body.isdigit() else 200)
        self.end_headers()
        self.wfile.write(os.environ["MODEL"].encode())

host = sys.argv[sys.argv.index("--host") + 1] if "--host" in sys.argv else "0.0.0.0"
address = (host, int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region="us-east-1") as opened:
        opened.client("s3").create_bucket(Bucket=BUCKET)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.addfile(tarfile.TarInfo("model.onnx"))
        opened.client("s3").put_object(Bucket=BUCKET, Key="model.tar.gz", Body=buffer.getvalue())
        yield opened


@pytest.fixture
def hosting(account: EmulatedAccount, tmp_path: Path) -> Iterator[LocalHosting]:
    made = make_hosting(account, tmp_path)
    yield made
    made.close(ENDPOINT)


def make_hosting(account: EmulatedAccount, directory: Path) -> LocalHosting:
    image = directory / "serve-image"
    (image / "serve").mkdir(parents=True, exist_ok=True)
    (image / "serve" / "__main__.py").write_text(PROGRAM)
    (image / "serve" / "Dockerfile").write_text('ENTRYPOINT ["python", "-m", "serve"]\n')
    return LocalHosting(
        objects=account.objects,
        images=(ImageAsset(directory=image, dockerfile="serve/Dockerfile", tag="serve-1"),),
        interpreters={"serve": Path(sys.executable)},
        directory=directory / "endpoint",
        idle_seconds=600,
    )


def launch(hosting: LocalHosting, model: str = "m") -> str:
    """A fleet that is ready."""
    request = FleetRequest(
        endpoint=ENDPOINT,
        configuration=model,
        variant="AllTraffic",
        model=model,
        image_uri="repository:serve-1",
        model_data_uri=f"s3://{BUCKET}/model.tar.gz",
        environment={"MODEL": model},
    )
    fleet = hosting.launch(request)
    assert hosting.wait_ready(fleet) is None
    return fleet


def record(directory: Path) -> EndpointRecord:
    """What endpoint.json says."""
    found = read_record(directory / "endpoint")
    assert found is not None
    return found


def program(directory: Path) -> psutil.Process:
    """The process of the only fleet."""
    [mark] = record(directory).programs
    return psutil.Process(mark.pid)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_nobody_but_this_machine_reaches_a_fleet(hosting: LocalHosting, tmp_path: Path) -> None:
    launch(hosting)
    listening = [item for item in program(tmp_path).net_connections() if item.status == psutil.CONN_LISTEN]
    assert [item.laddr.ip for item in listening] == ["127.0.0.1"]


def test_a_container_that_has_ended_is_started_again_and_counted(hosting: LocalHosting, tmp_path: Path) -> None:
    fleet = launch(hosting)
    hosting.route(ENDPOINT, {fleet: 1.0})
    first, running = program(tmp_path), hosting.control
    assert running is not None
    assert "restarts" not in running.status()["serving"][0]
    assert hosting.invoke(ENDPOINT, {}, b"crash")[0] == 424
    wait_for(lambda: hosting.invoke(ENDPOINT, {}, b"x")[2] == b"m")
    wait_for(lambda: running.status()["serving"][0].get("restarts") == 1)
    wait_for(lambda: [mark.pid for mark in record(tmp_path).programs] not in ([], [first.pid]))
    assert program(tmp_path).pid in [child.pid for child in psutil.Process(running.record.host.pid).children()]
    hosting.stop(fleet)
    assert record(tmp_path).programs == ()
    assert psutil.Process(running.record.host.pid).children() == [], "who is ended is not started again"


def test_stopping_ends_programs_that_came_later(hosting: LocalHosting, tmp_path: Path) -> None:
    launch(hosting, "one")
    early = control.running(tmp_path / "endpoint")
    assert early is not None
    launch(hosting, "two")
    marks = record(tmp_path).programs
    assert len(marks) == 2
    psutil.Process(early.record.host.pid).kill()
    early.stop()
    wait_for(lambda: [mark.process() for mark in marks] == [None, None])


def test_a_process_that_ended_leaves_no_files_but_logs(account: EmulatedAccount, tmp_path: Path) -> None:
    hosting = make_hosting(account, tmp_path)
    fleet = launch(hosting)
    folder = fleet_directory(tmp_path / "endpoint", fleet)
    assert {path.name for path in folder.iterdir()} == {"image", "ml", "serve.log"}
    hosting.close(ENDPOINT)
    assert [path.name for path in folder.iterdir()] == ["serve.log"]


def test_files_of_a_killed_process_go_with_the_next_fleet(hosting: LocalHosting, tmp_path: Path) -> None:
    folder = fleet_directory(tmp_path / "endpoint", launch(hosting, "one"))
    host = psutil.Process(record(tmp_path).host.pid)
    host.kill()
    host.wait(PATIENCE_SECONDS)
    second = fleet_directory(tmp_path / "endpoint", launch(hosting, "two"))
    assert [path.name for path in folder.iterdir()] == ["serve.log"]
    assert (second / "image").is_dir(), "the new process has its files"


def deploy_endpoint(account: EmulatedAccount) -> None:
    """An endpoint in service, and alarms on it as the template has them."""
    sagemaker = account.client("sagemaker")
    container = {"Image": "repository:serve-1", "ModelDataUrl": f"s3://{BUCKET}/model.tar.gz"}
    role = "arn:aws:iam::123456789012:role/endpoint"
    sagemaker.create_model(
        ModelName="m", ExecutionRoleArn=role, PrimaryContainer={**container, "Environment": {"MODEL": "m"}}
    )
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.c5.large", "InitialInstanceCount": 2}
    sagemaker.create_endpoint_config(EndpointConfigName="m", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="m")
    wait_for(lambda: sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointStatus"] == "InService")
    for name, statistic, threshold in (
        ("Invocation5XXErrors", {"Statistic": "Average"}, 0.2),
        ("Invocation4XXErrors", {"Statistic": "Sum"}, 1.0),
        ("ModelLatency", {"ExtendedStatistic": "p99"}, PATIENCE_SECONDS * 1e6),
    ):
        account.client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=DIMENSIONS,
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Period=60,
            Threshold=threshold,
            **statistic,
        )


def test_what_the_fleets_answered_is_in_cloudwatch_and_its_alarms_see_it(
    account: EmulatedAccount, hosting: LocalHosting
) -> None:
    account.endpoints.hosting = hosting
    deploy_endpoint(account)
    account.time.reach(minute_of(account.time.now()) + MINUTE)
    for body in (b"x", b"x", b"404", b"503"):
        hosting.invoke(ENDPOINT, {}, body)
    account.endpoints.publish_requests()
    account.endpoints.publish_requests()  # each request is published once
    cloudwatch = account.client("cloudwatch")

    def total(metric: str) -> float:
        window = {"StartTime": account.time.now() - 5 * MINUTE, "EndTime": account.time.now() + MINUTE, "Period": 600}
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=metric, Dimensions=DIMENSIONS, Statistics=["Sum"], **window
        )
        return float(sum(point["Sum"] for point in answer["Datapoints"]))

    assert (total("Invocations"), total("InvocationsPerInstance")) == (4, 2)
    assert (total("Invocation4XXErrors"), total("Invocation5XXErrors"), total("InvocationModelErrors")) == (1, 1, 2)
    assert total("ModelLatency") > 0
    assert total("OverheadLatency") > 0
    described = cloudwatch.describe_alarms()["MetricAlarms"]
    assert {alarm["AlarmName"]: alarm["StateValue"] for alarm in described} == {
        "Invocation5XXErrors": "ALARM",
        "Invocation4XXErrors": "OK",
        "ModelLatency": "OK",
    }


def written_down(directory: Path, account: EmulatedAccount, fleet: str) -> None:
    """The file that a deployment leaves, of an endpoint with this fleet."""
    role = "arn:aws:iam::123456789012:role/endpoint"
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
    content = {
        "schema_version": 1,
        "model": {"ModelName": "m", "ExecutionRoleArn": role, "PrimaryContainer": {"Image": "i", "ModelDataUrl": "u"}},
        "configuration": {"EndpointConfigName": "m", "ProductionVariants": [variant]},
        "endpoint": {"EndpointName": ENDPOINT, "EndpointConfigName": "m", "Tags": []},
        "fleet": fleet,
    }
    (directory / state.NAME).write_text(json.dumps(content))


def test_after_a_deployment_was_killed_the_old_fleet_serves_alone(
    account: EmulatedAccount, hosting: LocalHosting, tmp_path: Path
) -> None:
    directory = tmp_path / "endpoint"
    old, new = launch(hosting, "old"), launch(hosting, "new")
    hosting.route(ENDPOINT, {old: 0.5, new: 0.5})
    written_down(directory, account, old)
    state.restore(account, directory, bucket=BUCKET)
    running = control.running(directory)
    assert running is not None
    status = running.status()
    assert (status["fleets"], status["serving"][0]["share"]) == ([old], 1.0)
    assert [item["fleet"] for item in status["serving"]] == [old]
    assert account.endpoints.live() == {ENDPOINT: old}
    assert not (fleet_directory(directory, new) / "image").exists()


@pytest.mark.parametrize("written", [None, "ended"])
def test_a_process_that_nothing_tells_of_is_stopped(
    account: EmulatedAccount, hosting: LocalHosting, tmp_path: Path, written: str | None
) -> None:
    directory = tmp_path / "endpoint"
    launch(hosting)
    if written:
        written_down(directory, account, written)
    state.restore(account, directory, bucket=BUCKET)
    assert control.running(directory) is None
    assert account.endpoints.live() == {}
    assert not (directory / state.NAME).exists()
