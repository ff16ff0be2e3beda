"""The deployed monitor for real: captures in, a report and metrics out, the alarm, and what it starts."""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from end_to_end import REGION, REPOSITORY
from PIL import Image
from sklearn.datasets import load_digits

from infra.environments import load_environment
from infra.settings import EnvironmentSettings
from local.assembly import CloudAssembly, read_assembly
from local.containers.process import ProcessRuntime
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.executions import EndedExecution, execute
from local.jobs import ContainerJobs

pytestmark = pytest.mark.slow  # each test deploys an environment
BUCKET = "imgpipe-dev-artifacts-123456789012-us-east-1"
ENDPOINT = "imgpipe-dev"
TOPIC = "arn:aws:sns:us-east-1:123456789012:imgpipe-dev-notifications"
MONITOR = "arn:aws:states:us-east-1:123456789012:stateMachine:imgpipe-dev-monitor"
DATA = Path(os.environ.get("IMGPIPE_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
BIKES = [DATA / "cifar100_bikes_train" / name for name in ("bicycle", "motorcycle")]
BRIGHTEST = 16  # the digits' grey levels run from 0 to 16
TESTED, SHOWN = 150, 60


@pytest.fixture(scope="module")
def retraining_assembly(tmp_path_factory: pytest.TempPathFactory) -> CloudAssembly:
    """Dev with retraining on drift and a low minimum of images."""
    from infra.app import build_app
    from infra.node import use_node

    use_node()
    content = load_environment("dev").model_dump()
    monitoring = content["monitoring"] | {"retrain_on_drift": True, "min_records": 50}
    outdir = tmp_path_factory.mktemp("monitored") / "cdk.out"
    build_app(EnvironmentSettings.model_validate(content | {"monitoring": monitoring}), outdir=outdir).synth()
    return read_assembly(outdir)


@functools.cache
def _pictures() -> list[np.ndarray]:
    """Real images: photographs, which are not part of the repository, or handwritten digits."""
    if all(folder.is_dir() for folder in BIKES):
        found = [Image.open(path) for folder in BIKES for path in sorted(folder.iterdir())]
    else:
        grey = (load_digits().images * (255 / BRIGHTEST)).round().astype(np.uint8)
        found = [Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC) for image in grey]
    order = np.random.default_rng(3).permutation(len(found))[: TESTED + 2 * SHOWN]
    return [np.asarray(found[index].convert("RGB")) for index in order]


def _probability(pixels: np.ndarray) -> float:
    """What a model would say of an image, always the same."""
    return 0.55 + 0.4 * (int(pixels.sum()) % 97) / 97


def _answer(pixels: np.ndarray) -> list[float]:
    sure = _probability(pixels)
    return [sure, 1 - sure] if int(pixels.sum()) % 2 else [1 - sure, sure]


BASELINE = """
import json, sys, numpy
from pathlib import Path
from PIL import Image
from common.files import write_json
from common.image_statistics import image_facts, summarise_images
from common.prediction_statistics import summarise_predictions
pixels, answers = numpy.load(sys.argv[1]), numpy.array(json.loads(sys.argv[2]))
called = numpy.eye(2, dtype=bool)[answers.argmax(axis=1)]
write_json(Path(sys.argv[3]), {
    "schema_version": 1, "num_images": len(pixels), "classes": ["first", "second"], "resize": 32,
    "predictions": summarise_predictions(called, answers.max(axis=1)),
    **summarise_images(image_facts(Image.fromarray(item)) for item in pixels)})
"""


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """baseline.json as the packaged code writes it, in a process of its own."""
    folder, tested = tmp_path_factory.mktemp("baseline"), _pictures()[:TESTED]
    np.save(folder / "pixels.npy", np.stack(tested))
    answers = json.dumps([_answer(pixels) for pixels in tested])
    command = [sys.executable, "-c", BASELINE, folder / "pixels.npy", answers, folder / "baseline.json"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "processing")}
    subprocess.run(command, env=environment, check=True, timeout=120)
    return (folder / "baseline.json").read_bytes()


class Environment:
    """The deployed environment with a live version."""

    def __init__(self, account: EmulatedAccount, baseline: bytes) -> None:
        self.account = account
        self.s3 = account.client("s3")
        self.now = datetime.now(timezone.utc)
        self.put("models/one/package/baseline.json", baseline)
        live = {"version": 2, "metadata": {"baseline_uri": f"s3://{BUCKET}/models/one/package/baseline.json"}}
        self.put(f"serving/{ENDPOINT}/live.json", json.dumps(live).encode())

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)

    def capture(self, shown: Sequence[np.ndarray]) -> None:
        lines = []
        for number, pixels in enumerate(shown):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            body = base64.b64encode(buffer.getvalue()).decode()
            sides = {
                "endpointInput": {"observedContentType": "image/png", "data": body, "encoding": "BASE64"},
                "endpointOutput": {
                    "observedContentType": "application/json",
                    "data": json.dumps(_answer(pixels)),
                    "encoding": "JSON",
                },
            }
            time = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
            event = {"eventId": f"e{number}", "inferenceTime": time}
            lines.append(json.dumps({"captureData": sides, "eventMetadata": event, "eventVersion": "0"}))
        key = f"capture/{ENDPOINT}/AllTraffic/{self.now:%Y/%m/%d/%H}/part.jsonl"
        self.put(key, "\n".join(lines).encode())

    def monitor(self, *, publish: bool = True, deployed: datetime | None = None) -> EndedExecution:
        """Run the machine over the hours up to now; the version counts as deployed then, or an hour ago."""
        wished = {
            "end": (self.now + timedelta(hours=1)).isoformat(),
            "since": (deployed or self.now - timedelta(hours=1)).isoformat(),
            "publish": publish,
        }
        return execute(self.account, MONITOR, wished)

    def metric(self, name: str) -> list[float]:
        found = self.account.client("cloudwatch").get_metric_statistics(
            Namespace="imgpipe",
            MetricName=name,
            Dimensions=[{"Name": "EndpointName", "Value": ENDPOINT}],
            StartTime=self.now - timedelta(hours=2),
            EndTime=self.now + timedelta(hours=2),
            Period=60,
            Statistics=["Maximum"],
        )
        return [point["Maximum"] for point in found["Datapoints"]]


@pytest.fixture
def deployed(retraining_assembly: CloudAssembly, baseline: bytes, tmp_path: Path) -> Iterator[Environment]:
    with emulated_account(region=REGION) as account:
        account.deploy(retraining_assembly)
        account.processing_jobs = ContainerJobs(
            account=account,
            images=retraining_assembly.images,
            runtime=ProcessRuntime(interpreters={"imaging": Path(sys.executable)}),
            directory=tmp_path / "jobs",
        )
        yield Environment(account, baseline)


def _darkened(pixels: np.ndarray) -> np.ndarray:
    return (pixels * 0.5).astype(np.uint8)


def test_the_usual_images_are_no_drift(deployed: Environment) -> None:
    deployed.capture(_pictures()[TESTED : TESTED + SHOWN])
    ended = deployed.monitor()
    assert ended.status == "SUCCEEDED", ended.cause
    assert (ended.output["verdict"], ended.output["drifted"]) == ("no_drift", [])
    page = ended.output["report"].removeprefix(f"s3://{BUCKET}/")
    assert b"No drift" in deployed.s3.get_object(Bucket=BUCKET, Key=page)["Body"].read()
    assert deployed.metric("Drift") == [0]
    assert deployed.metric("DistinctImages") == [SHOWN]
    assert deployed.account.notifications(TOPIC) == []


def test_drift_alarms_notifies_and_starts_retraining_once(deployed: Environment) -> None:
    deployed.capture([_darkened(pixels) for pixels in _pictures()[TESTED : TESTED + SHOWN]])
    looked = deployed.monitor(publish=False)
    assert looked.output["verdict"] == "drift"
    assert "PutMetrics" not in looked.states
    assert (deployed.metric("Drift"), _executions(deployed)) == ([], [])
    ended = deployed.monitor()
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.output["verdict"] == "drift"
    assert "brightness" in ended.output["drifted"]
    assert deployed.metric("Drift") == [1]
    [alarm] = deployed.account.client("cloudwatch").describe_alarms(AlarmNames=["imgpipe-dev-drift"])["MetricAlarms"]
    assert alarm["StateValue"] == "ALARM"
    assert "docs/operations.md#alarm-drift" in alarm["AlarmDescription"]
    started = _executions(deployed)
    assert [item["PipelineExecutionDisplayName"][:6] for item in started] == ["drift-"]
    told = [subject for subject, _ in deployed.account.notifications(TOPIC)]
    assert "imgpipe-dev-retrain started" in told
    # The alarm is on already and changes no state, and still the next window that drifts asks again.
    assert deployed.monitor().status == "SUCCEEDED"
    told = [subject for subject, _ in deployed.account.notifications(TOPIC)]
    assert "imgpipe-dev-retrain not started" in told
    assert len(_executions(deployed)) == 1


def _executions(deployed: Environment) -> list[dict[str, Any]]:
    client = deployed.account.client("sagemaker")
    found: list[dict[str, Any]] = client.list_pipeline_executions(PipelineName="imgpipe-dev-retrain")[
        "PipelineExecutionSummaries"
    ]
    return found


def test_nothing_captured_ends_well_and_compares_nothing(deployed: Environment) -> None:
    ended = deployed.monitor()
    assert ended.status == "SUCCEEDED", ended.cause
    assert "no captured requests" in ended.output["reason"]
    assert "Compare" not in ended.states
    assert deployed.metric("Drift") == []


def test_a_quiet_endpoint_is_compared_once_enough_has_gathered(deployed: Environment) -> None:
    began = deployed.now - timedelta(hours=60)
    shown = _pictures()[TESTED : TESTED + SHOWN]
    verdicts, waited = [], []
    for hours, images in ((0, shown[:30]), (30, shown[30:]), (60, [])):
        deployed.now = began + timedelta(hours=hours)
        if images:
            deployed.capture([_darkened(pixels) for pixels in images])
        ended = deployed.monitor(deployed=began - timedelta(hours=1))
        assert ended.status == "SUCCEEDED", ended.cause
        verdicts.append(ended.output.get("verdict"))
        waited.append(ended.output.get("reason"))
    # A window is a day long, so the second one reaches back to the first hours only because these had no verdict.
    assert verdicts == ["too_few", "drift", None]
    assert f"no captured requests from {began + timedelta(hours=31):%Y-%m-%dT%H:00:00Z}" in waited[-1]
    assert max(deployed.metric("DistinctImages")) == SHOWN
    assert max(deployed.metric("CapturedImages")) == SHOWN / 2
    assert max(deployed.metric("UndecidedHours")) == 1


def test_a_job_that_fails_notifies_and_fails(deployed: Environment) -> None:
    deployed.capture(_pictures()[TESTED : TESTED + SHOWN])
    deployed.put("models/one/package/baseline.json", b"{}")
    ended = deployed.monitor()
    assert ended.status == "FAILED"
    assert "package the model version again" in str(ended.cause)
    [(subject, message)] = deployed.account.notifications(TOPIC)
    assert subject == f"The monitor of {ENDPOINT} failed"
    assert "package the model version again" in message


def test_the_next_run_shows_the_last(deployed: Environment) -> None:
    deployed.capture(_pictures()[TESTED : TESTED + SHOWN])
    assert deployed.monitor().status == "SUCCEEDED"
    deployed.now += timedelta(hours=2)
    deployed.capture(_pictures()[TESTED + SHOWN :])
    ended = deployed.monitor()
    assert ended.status == "SUCCEEDED", ended.cause
    key = ended.output["report"].removeprefix(f"s3://{BUCKET}/")
    page = deployed.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    assert "the last one is this" in page


def test_the_command_says_what_to_do_where_nothing_is_deployed(tmp_path: Path) -> None:
    from local.errors import LocalRunError
    from local.monitoring import MonitoringRequest, monitor_locally

    request = MonitoringRequest(environment="dev", project=REPOSITORY, home=tmp_path, interpreters={})
    with pytest.raises(LocalRunError, match="imgpipe approve VERSION --local"):
        monitor_locally(request, say=_silent)


def _silent(_: str) -> None:
    """Nobody listens."""
