"""Versions that pass their smoke test and fail at what people ask: the alarms of the template take them back."""

from __future__ import annotations

import io
import json
import sys
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from end_to_end import REGION, CommandLine
from served_model import picture, register

from local.assembly import CloudAssembly, ImageAsset
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.clock import Clock
from local.emulator.executions import EndedExecution, executions, follow
from local.endpoint.hosting import LocalHosting
from local.endpoint.record import EndpointRecord, read_record

ASKING = 3  # at a time
PAUSE_SECONDS = 0.05
# A minute of a bake lasts longer than the alarm's limit of latency, so that a slow answer falls into several of them.
LONG_MINUTES = Clock(scale=0.025, longest=7.5)
TYPES = {"SupportedContentTypes": ["image/png"], "SupportedResponseMIMETypes": ["application/json"]}
# Answers the packaged sample, which is JSON, at once and rightly, and pictures as the file `manner` of its model says.
PROGRAM = """
import http.server, json, os, pathlib, time

manner = pathlib.Path("model/manner").read_text()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        sample = self.headers["Content-Type"] == "application/json"
        if manner == "slow" and not sample:
            time.sleep(2)
        self.send_response(500 if manner == "failing" and not sample else 200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        content = {"predictions": [{"label": "blue"}], "model": {"name": os.environ["IMGPIPE_MODEL_NAME"]}}
        self.wfile.write(json.dumps(content).encode())

address = ("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
http.server.ThreadingHTTPServer(address, Handler).serve_forever()
"""


@contextmanager
def asking(ask: Callable[[], str]) -> Iterator[Counter[str]]:
    """Goes on asking from several threads while open; counts the answers."""
    answers: Counter[str] = Counter()
    stop, lock = threading.Event(), threading.Lock()

    def go_on() -> None:
        while not stop.wait(PAUSE_SECONDS):
            answer = ask()
            with lock:
                answers[answer] += 1

    threads = [threading.Thread(target=go_on) for _ in range(ASKING)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def registry(imgpipe: CommandLine, served: Path, broken: Path) -> Iterator[CommandLine]:
    """Versions 1 and 3 work, version 2 fails at red pictures; whatever runs at the end is ended by its number."""
    for version, folder in {1: served, 2: broken, 3: served}.items():
        register(imgpipe.home, version, folder)
    yield imgpipe
    left = read_record(imgpipe.home / "endpoints" / "dev")
    if left:
        left.end()


def ask_for_red(record: EndpointRecord) -> Callable[[], str]:
    """A request whose answer is the model's name, or the error of the container."""
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=REGION)
    runtime, body = session.client("sagemaker-runtime", endpoint_url=record.url), picture("red")

    def ask() -> str:
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=record.name, ContentType="image/png", Body=body, CustomAttributes="verbose=true"
            )
        except ClientError as error:
            return str(error.response["OriginalStatusCode"])
        return str(json.loads(answer["Body"].read())["model"]["name"]).rsplit("-", 1)[0]

    return ask


@pytest.mark.slow
def test_a_model_that_fails_at_real_pictures_is_rolled_back_and_a_good_one_is_not(registry: CommandLine) -> None:
    assert registry("approve", "1", "--local").returncode == 0
    record = read_record(registry.home / "endpoints" / "dev")
    assert record is not None
    ask = ask_for_red(record)
    with asking(ask) as answers:
        failed = registry("approve", "2", "--local")
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "Alarm imgpipe-dev-endpoint-errors is in ALARM" in failed.stderr
    assert "smoke test" not in failed.stderr
    assert answers.keys() == {"imgpipe-dev-v1", "500"}
    assert ask() == "imgpipe-dev-v1"

    with asking(ask) as answers:
        good = registry("approve", "3", "--local")
    assert good.returncode == 0, good.stdout + good.stderr
    assert answers.keys() == {"imgpipe-dev-v1", "imgpipe-dev-v3"}
    assert ask() == "imgpipe-dev-v3"


class Deployed:
    """The deployed environment; its endpoint runs a double of the serve program, its versions differ in manner."""

    def __init__(self, account: EmulatedAccount, assembly: CloudAssembly, directory: Path) -> None:
        self.account = account
        self.outputs = account.deploy(assembly.up_to("serving"))
        image = directory / "image"
        (image / "serve").mkdir(parents=True)
        (image / "serve" / "__main__.py").write_text(PROGRAM)
        (image / "serve" / "Dockerfile").write_text('ENTRYPOINT ["python", "-m", "serve"]\n')
        self.hosting = account.endpoints.hosting = LocalHosting(
            objects=account.objects,
            images=(ImageAsset(directory=image, dockerfile="serve/Dockerfile", tag="serve-1"),),
            interpreters={"serve": Path(sys.executable)},
            directory=directory / "endpoint",
            idle_seconds=600,
        )

    @property
    def endpoint(self) -> str:
        return self.outputs["EndpointName"]

    def approve(self, manner: str) -> EndedExecution:
        """Registers a version and approves it, as people do; the end of its deployment."""
        bucket, prefix = self.outputs["ArtifactBucketName"], f"models/{manner}/serving"
        sample = {"schema_version": 1, "content_type": "application/json", "body": '["YQ=="]', "label": "blue"}
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            member = tarfile.TarInfo("manner")
            member.size = len(manner)
            archive.addfile(member, io.BytesIO(manner.encode()))
        for name, body in {"model.tar.gz": buffer.getvalue(), "sample.json": json.dumps(sample).encode()}.items():
            self.account.client("s3").put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
        sagemaker = self.account.client("sagemaker")
        container = {"Image": "repository:serve-1", "ModelDataUrl": f"s3://{bucket}/{prefix}/model.tar.gz"}
        arn = sagemaker.create_model_package(
            ModelPackageGroupName=self.outputs["ModelPackageGroupName"],
            ModelApprovalStatus="PendingManualApproval",
            CustomerMetadataProperties={
                "sample_uri": f"s3://{bucket}/{prefix}/sample.json",
                "sample_label": "blue",
            },
            InferenceSpecification={"Containers": [container], **TYPES},
        )["ModelPackageArn"]
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
        return follow(self.account, executions(self.account, self.outputs["DeployStateMachineArn"])[-1])

    def ask(self) -> str:
        """The status with which a picture is answered."""
        return str(self.hosting.invoke(self.endpoint, {"Content-Type": "image/png"}, b"picture")[0])

    def alarms(self) -> set[str]:
        """Those that ring."""
        described = self.account.client("cloudwatch").describe_alarms(StateValue="ALARM")["MetricAlarms"]
        return {alarm["AlarmName"] for alarm in described}


@pytest.fixture
def deployed(assembly: CloudAssembly, tmp_path: Path) -> Iterator[Deployed]:
    """An environment whose version 1 serves."""
    with emulated_account(region=REGION, clock=LONG_MINUTES) as account:
        environment = Deployed(account, assembly, tmp_path)
        try:
            ended = environment.approve("healthy")
            assert ended.status == "SUCCEEDED", ended.cause
            yield environment
        finally:
            account.endpoints.close()
            environment.hosting.close(environment.endpoint)


@pytest.mark.slow
@pytest.mark.parametrize(("manner", "alarm"), [("failing", "errors"), ("slow", "latency")])
def test_a_version_that_fails_or_is_slow_at_what_people_ask_is_rolled_back_and_told_of(
    deployed: Deployed, manner: str, alarm: str
) -> None:
    before = deployed.account.endpoints.live()
    with asking(deployed.ask):
        ended = deployed.approve(manner)
    assert ended.status == "FAILED"
    reason = f"Alarm imgpipe-dev-endpoint-{alarm} is in ALARM, so the deployment is rolled back"
    assert reason in str(ended.cause)
    assert deployed.account.endpoints.live() == before
    told = deployed.account.notifications(deployed.outputs["NotificationTopicArn"])
    assert any(reason in message and "imgpipe-dev-v1-" in message for _, message in told), "it says what serves now"
    assert deployed.alarms() == {f"imgpipe-dev-endpoint-{alarm}"}
    assert deployed.ask() == "200"


@pytest.mark.slow
def test_the_same_requests_to_a_healthy_version_take_nothing_back(deployed: Deployed) -> None:
    with asking(deployed.ask) as answers:
        ended = deployed.approve("healthy")
    assert ended.status == "SUCCEEDED", ended.cause
    assert answers.keys() == {"200"}
    assert deployed.alarms() == set()
    sagemaker = deployed.account.client("sagemaker")
    described = sagemaker.describe_endpoint(EndpointName=deployed.endpoint)
    assert described["EndpointConfigName"].startswith("imgpipe-dev-v2-")
