"""The classification workflow in the emulated account: the deployed zips run, the machines run, nothing is stubbed but
the model's container, and in one test not even that.
"""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from end_to_end import REGION, REPOSITORY
from PIL import Image

from infra.environments import ROOT, load_environment
from local.assembly import CloudAssembly, ImageAsset, read_assembly
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.clock import Clock
from local.emulator.executions import EndedExecution, execute, follow
from local.emulator.hosting import Answer
from local.endpoint.hosting import LocalHosting
from local.endpoint.runtime_api import model_error

COLORS = {
    "red": (250, 10, 10),
    "green": (10, 250, 10),
    "blue": (10, 10, 250),
    "grey": (128, 128, 128),
    "at the threshold": (200, 25, 25),
    "below the threshold": (199, 25, 25),
}
THRESHOLD = 0.8
THROTTLED: Answer = (
    400,
    {"Content-Type": "application/json", "X-Amzn-ErrorType": "ThrottlingException"},
    b'{"message": "Rate exceeded"}',
)
INBOX = "inbox/new"
DATA = f"imgpipe-dev-data-123456789012-{REGION}"
ARTIFACTS = f"imgpipe-dev-artifacts-123456789012-{REGION}"
IMAGE = ImageAsset(directory=REPOSITORY / "processing", dockerfile="containers/serve/Dockerfile", tag="serve")
LONGEST_WAIT_SECONDS = 30


@pytest.fixture(scope="module")
def classification_assembly(tmp_path_factory: pytest.TempPathFactory) -> CloudAssembly:
    """Data set and classification of dev, with an inbox."""
    from infra.node import use_node

    use_node()
    import aws_cdk as cdk

    from infra.classification_stack import ClassificationStack
    from infra.dataset_stack import DatasetStack
    from infra.settings import EnvironmentSettings

    changed = {"inbox_prefix": INBOX, "tolerated_failure_percent": 50}
    values = load_environment("dev").model_dump() | {"classification": changed}
    settings = EnvironmentSettings.model_validate(values)
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    outdir = tmp_path_factory.mktemp("classification") / "cdk.out"
    app = cdk.App(outdir=str(outdir), context=flags, analytics_reporting=False)
    dataset = DatasetStack(app, "dataset", settings=settings)
    classification = ClassificationStack(
        app,
        "classification",
        settings=settings,
        data_bucket=dataset.data_bucket.name,
        artifact_bucket=dataset.artifact_bucket.name,
        processing=Path(),
    )
    classification.add_stack_dependency(dataset)
    app.synth()
    return read_assembly(outdir)


class ColorModel:
    """The endpoint's HTTP side: calls an image after its strongest colour, and is unsure of grey ones."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.failures: list[Answer] = []  # of the next requests
        self.gate: threading.Barrier | None = None

    def invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """As Hosting.invoke."""
        assert endpoint == "imgpipe-dev"
        self.bodies.append(body)
        if self.gate:
            self.gate.wait(LONGEST_WAIT_SECONDS)
        if self.failures:
            return self.failures.pop(0)
        pixel = Image.open(io.BytesIO(body)).convert("RGB").resize((1, 1)).getpixel((0, 0))
        assert isinstance(pixel, tuple)
        order = sorted(range(3), key=lambda index: -pixel[index])
        shares = [pixel[index] / sum(pixel) for index in order]
        ranked = [
            {"label": list("rgb")[index], "probability": share} for index, share in zip(order, shares, strict=True)
        ]
        best = ranked[0] | {"index": order[0], "threshold": THRESHOLD, "accepted": None, "ranked": ranked}
        content = {"predictions": [best], "model": {"name": "colors-v1", "precision": "fp32"}}
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


class Workflow:
    """The deployed workflow, its endpoint and what it leaves behind."""

    def __init__(self, account: EmulatedAccount, outputs: Mapping[str, str]) -> None:
        self.account, self.outputs = account, outputs
        self.model = ColorModel()

    def clear(self) -> None:
        """Forgets what an earlier test left: images, results, messages, and its model."""
        self.model = ColorModel()
        self.account.endpoints.hosting = self.model  # type: ignore[assignment]
        self.account.events.deliveries.clear()
        s3, dynamodb = self.account.client("s3"), self.account.client("dynamodb")
        for bucket in (DATA, ARTIFACTS):
            for key in list(self.account.objects.keys(bucket, "")):
                s3.delete_object(Bucket=bucket, Key=key)
        for item in self.results():
            dynamodb.delete_item(TableName=self.outputs["ResultTableName"], Key={"id": item["id"]})
        for queue in ("ReviewQueueUrl", "ClassifyFailureQueueUrl"):
            self.messages(queue)

    def upload(self, key: str, color: str = "red", *, size: tuple[int, int] = (90, 60)) -> str:
        """Puts an image of one colour into the data bucket and returns its version."""
        buffer = io.BytesIO()
        Image.new("RGB", size, COLORS[color]).save(buffer, "PNG")
        return self.put(key, buffer.getvalue())

    def put(self, key: str, body: bytes) -> str:
        """Puts any object into the data bucket and returns its version."""
        version: str = self.account.client("s3").put_object(Bucket=DATA, Key=key, Body=body)["VersionId"]
        return version

    def classify(self, key: str) -> EndedExecution:
        """Classifies one image and waits for the end."""
        return self.start({"s3_bucket": DATA, "s3_key": key})

    def start(self, given: Any) -> EndedExecution:
        """Starts the machine for one image with any input and waits for the end."""
        return execute(self.account, self.outputs["ClassifyStateMachineArn"], given)

    def classify_prefix(self, prefix: str) -> EndedExecution:
        """Classifies all images below a prefix and waits for the end."""
        machine = self.outputs["ClassifyPrefixStateMachineArn"]
        return execute(self.account, machine, {"s3_bucket": DATA, "s3_prefix": prefix})

    def results(self) -> list[dict[str, Any]]:
        """The items of the result table."""
        items: list[dict[str, Any]] = self.account.client("dynamodb").scan(TableName=self.outputs["ResultTableName"])[
            "Items"
        ]
        return items

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """Takes all messages out of a queue."""
        client, url = self.account.client("sqs"), self.outputs[queue]
        found: list[dict[str, Any]] = []
        while received := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in received:
                found.append(json.loads(message["Body"]))
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found


@pytest.fixture(scope="module")
def deployed(classification_assembly: CloudAssembly) -> Iterator[Workflow]:
    """Deployed once: its functions stay warm."""
    with emulated_account(region=REGION, clock=Clock(scale=0.01, longest=0.2)) as account:
        outputs = account.deploy(classification_assembly)
        # The template says so too, which moto's CloudFormation leaves out.
        account.client("s3").put_bucket_versioning(Bucket=DATA, VersioningConfiguration={"Status": "Enabled"})
        yield Workflow(account, outputs)


@pytest.fixture
def workflow(deployed: Workflow) -> Workflow:
    deployed.clear()
    return deployed


def test_a_sure_answer_is_accepted_once(workflow: Workflow) -> None:
    workflow.upload("datasets/a b.png")
    first, second = workflow.classify("datasets/a b.png"), workflow.classify("datasets/a b.png")
    assert (first.status, first.error, first.cause) == ("SUCCEEDED", None, None)
    assert first.output["status"] == "ACCEPTED"
    assert (first.output["label"], first.output["model"], first.output["threshold"]) == ("r", "colors-v1", 0.8)
    assert second.output == first.output
    assert len(workflow.model.bodies) == 1, "the second one costs no request"
    assert [item["status"]["S"] for item in workflow.results()] == ["ACCEPTED"]
    assert workflow.messages("ReviewQueueUrl") == workflow.messages("ClassifyFailureQueueUrl") == []


def test_a_confidence_that_equals_the_threshold_is_accepted(workflow: Workflow) -> None:
    for color in ("at the threshold", "below the threshold"):
        workflow.upload(f"datasets/{color}.png", color)
    least, less = (
        workflow.classify(f"datasets/{color}.png").output for color in ("at the threshold", "below the threshold")
    )
    assert (least["confidence"], least["status"]) == (THRESHOLD, "ACCEPTED")
    assert less["confidence"] < THRESHOLD
    assert less["status"] == "THRESHOLD_CONFIDENCE_NOT_MET"


def test_events_of_s3_mean_their_object(workflow: Workflow) -> None:
    """EventBridge's, a notification's and a direct request are about the same image."""
    key = "datasets/a b+ü.png"
    version = workflow.upload(key)
    bucket = {"name": DATA}
    inputs: list[dict[str, Any]] = [
        {"detail-type": "Object Created", "detail": {"bucket": bucket, "object": {"key": key, "version-id": version}}},
        {"Records": [{"s3": {"bucket": bucket, "object": {"key": quote_plus(key), "versionId": version}}}]},
        {"s3_bucket": DATA, "s3_key": key},
    ]
    first, *others = [workflow.start(given).output for given in inputs]
    assert (first["s3_key"], first["s3_version"], first["label"]) == (key, version, "r")
    assert others == [first] * 2
    assert len(workflow.model.bodies) == 1


def test_an_unsure_answer_goes_to_review_once(workflow: Workflow) -> None:
    workflow.upload("datasets/grey.png", "grey")
    first, second = workflow.classify("datasets/grey.png"), workflow.classify("datasets/grey.png")
    assert first.output == second.output
    assert first.output["status"] == "THRESHOLD_CONFIDENCE_NOT_MET"
    assert workflow.messages("ReviewQueueUrl") == [first.output]
    [item] = workflow.results()
    assert item["review_sent"] == {"BOOL": True}


def test_a_review_that_was_not_sent_is_sent_by_the_next_execution(workflow: Workflow) -> None:
    """The execution that wrote the result may have died before it sent the message."""
    workflow.upload("datasets/grey.png", "grey")
    result = workflow.classify("datasets/grey.png").output
    workflow.messages("ReviewQueueUrl")
    client, table = workflow.account.client("dynamodb"), workflow.outputs["ResultTableName"]
    client.update_item(
        TableName=table, Key={"id": {"S": result["id"]}}, UpdateExpression="REMOVE review_sent", ReturnValues="NONE"
    )
    again = workflow.classify("datasets/grey.png")
    assert again.states[-4:] == ["Reviewed", "SendToReview", "MarkSent", "Result"]
    assert again.output == result


def test_executions_at_the_same_time_agree(workflow: Workflow) -> None:
    """Both ask the endpoint before either writes; one result and one message are left."""
    workflow.upload("datasets/grey.png", "grey")
    workflow.model.gate = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(workflow.classify, ["datasets/grey.png"] * 2))
    assert [item.status for item in ended] == ["SUCCEEDED"] * 2, [item.cause for item in ended]
    assert len(workflow.model.bodies) == 2
    assert ended[0].output == ended[1].output
    assert len(workflow.results()) == 1
    assert workflow.messages("ReviewQueueUrl") == [ended[0].output]


def test_a_new_version_of_an_image_is_another_image(workflow: Workflow) -> None:
    for color in ("red", "green"):
        workflow.upload("datasets/a.png", color)
        workflow.classify("datasets/a.png")
    assert sorted(item["label"]["S"] for item in workflow.results()) == ["g", "r"]


@pytest.mark.parametrize(
    ("key", "body", "error", "said"),
    [
        ("datasets/text.png", b"no image", "InvalidImage", "no image"),
        ("datasets/empty.png", b"", "InvalidImage", "empty"),
        ("datasets/missing.png", None, "InvalidRequest", "does not exist"),
    ],
)
def test_what_fails_for_good_is_tried_once_and_kept_with_its_input(
    workflow: Workflow, key: str, body: bytes | None, error: str, said: str
) -> None:
    if body is not None:
        workflow.put(key, body)
    ended = workflow.classify(key)
    assert (ended.status, ended.error) == ("FAILED", "ClassificationFailed")
    assert ended.states.count("Serialize") == 1
    [message] = workflow.messages("ClassifyFailureQueueUrl")
    assert (message["error"], message["execution"]) == (error, ended.arn)
    assert message["input"] == {"s3_bucket": DATA, "s3_key": key}
    assert said in message["cause"]
    assert workflow.results() == workflow.model.bodies == []


def _tried(workflow: Workflow, ended: EndedExecution, kind: str = "TaskFailed") -> int:
    client = workflow.account.client("stepfunctions")
    events = client.get_execution_history(executionArn=ended.arn, maxResults=1000)["events"]
    return sum(event["type"] == kind for event in events)


def test_a_busy_or_failing_endpoint_is_asked_again(workflow: Workflow) -> None:
    workflow.upload("datasets/a.png")
    workflow.model.failures = [THROTTLED, model_error(503, "no answer", log="log")]
    ended = workflow.classify("datasets/a.png")
    assert (ended.status, ended.cause) == ("SUCCEEDED", None)
    assert len(workflow.model.bodies) == 3
    assert _tried(workflow, ended) == 2


def test_an_image_that_the_model_refuses_is_not_sent_again(workflow: Workflow) -> None:
    workflow.upload("datasets/a.png")
    workflow.model.failures = [model_error(400, "not_an_image", log="log")]
    ended = workflow.classify("datasets/a.png")
    assert ended.status == "FAILED"
    assert len(workflow.model.bodies) == 1
    [message] = workflow.messages("ClassifyFailureQueueUrl")
    assert message["error"] == "EndpointRefused"


def test_a_large_photo_is_shrunk_before_it_is_sent(workflow: Workflow) -> None:
    live = {"schema_version": 1, "metadata": {"resize": "64"}}
    workflow.account.client("s3").put_object(
        Bucket=ARTIFACTS, Key="serving/imgpipe-dev/live.json", Body=json.dumps(live)
    )
    workflow.upload("datasets/large.png", size=(3000, 2000))
    assert workflow.classify("datasets/large.png").output["label"] == "r"
    [body] = workflow.model.bodies
    assert Image.open(io.BytesIO(body)).size == (96, 64)


def test_a_new_image_in_the_inbox_is_classified_by_itself(workflow: Workflow) -> None:
    workflow.upload("datasets/elsewhere.png")
    workflow.put(f"{INBOX}/folder/", b"")
    assert workflow.account.events.deliveries == []
    workflow.upload(f"{INBOX}/new ü+1.png", "green")
    [delivery] = workflow.account.events.deliveries
    ended = follow(workflow.account, delivery.answer)
    assert (ended.status, ended.cause) == ("SUCCEEDED", None)
    assert (ended.output["label"], ended.output["s3_key"]) == ("g", f"{INBOX}/new ü+1.png")


def test_other_files_in_the_inbox_are_skipped(workflow: Workflow) -> None:
    workflow.put(f"{INBOX}/labels.csv", b"a,b")
    [delivery] = workflow.account.events.deliveries
    ended = follow(workflow.account, delivery.answer)
    assert (ended.status, ended.cause) == ("SUCCEEDED", None)
    assert ended.output == {"status": "SKIPPED", "s3_bucket": DATA, "s3_key": f"{INBOX}/labels.csv"}
    assert workflow.messages("ClassifyFailureQueueUrl") == workflow.results() == []


def test_all_images_below_a_prefix_and_a_broken_one(workflow: Workflow) -> None:
    for number, color in enumerate(("red", "green", "grey")):
        workflow.upload(f"datasets/main/{number}.png", color)
    workflow.put("datasets/main/broken.PNG", b"no image")
    workflow.put("datasets/main/labels.csv", b"a,b")
    workflow.upload("datasets/other/4.png")
    ended = workflow.classify_prefix("datasets/main/")
    assert (ended.status, ended.cause) == ("SUCCEEDED", None)
    assert ended.output["objects"] == {"total": 5, "succeeded": 4, "failed": 1}, "one of them skipped"
    assert ended.output["results"]["Bucket"] == ARTIFACTS
    assert sorted(item["label"]["S"] for item in workflow.results() if item["status"]["S"] == "ACCEPTED") == ["g", "r"]
    assert [message["s3_key"] for message in workflow.messages("ReviewQueueUrl")] == ["datasets/main/2.png"]
    [failed] = workflow.messages("ClassifyFailureQueueUrl")
    assert (failed["error"], failed["input"]["s3_key"]) == ("InvalidImage", "datasets/main/broken.PNG")


def test_a_prefix_is_a_folder(workflow: Workflow) -> None:
    workflow.upload("datasets/cats/0.png", "red")
    workflow.upload("datasets/cats-old/1.png", "green")
    ended = workflow.classify_prefix("datasets/cats")
    assert (ended.status, ended.cause) == ("SUCCEEDED", None)
    assert (ended.output["s3_prefix"], ended.output["objects"]["total"]) == ("datasets/cats/", 1)
    assert [item["label"]["S"] for item in workflow.results()] == ["r"]


def test_an_empty_prefix_is_the_whole_bucket(workflow: Workflow) -> None:
    workflow.upload("datasets/main/0.png", "red")
    ended = workflow.classify_prefix("")
    assert (ended.status, ended.output["objects"]["total"]) == ("SUCCEEDED", 1)


@pytest.mark.parametrize("given", [{}, {"s3_bucket": DATA}, {"s3_prefix": "datasets/main"}, "text", [1]])
def test_a_malformed_prefix_ends_in_the_queue(workflow: Workflow, given: Any) -> None:
    ended = execute(workflow.account, workflow.outputs["ClassifyPrefixStateMachineArn"], given)
    assert (ended.status, ended.error) == ("FAILED", "ClassificationFailed")
    [message] = workflow.messages("ClassifyFailureQueueUrl")
    assert message["input"] == given
    assert message["results"] == {"Bucket": ARTIFACTS, "Prefix": "classify/runs"}


def test_a_prefix_with_too_many_broken_images_is_given_up(workflow: Workflow) -> None:
    workflow.upload("datasets/main/0.png")
    for number in (1, 2):
        workflow.put(f"datasets/main/{number}.png", b"no image")
    ended = workflow.classify_prefix("datasets/main/")
    assert ended.status == "FAILED"
    assert "States.ExceedToleratedFailureThreshold" in str(ended.cause)
    errors = {message["error"] for message in workflow.messages("ClassifyFailureQueueUrl")}
    assert errors == {"InvalidImage", "States.ExceedToleratedFailureThreshold"}


@pytest.mark.parametrize("given", [{}, {"s3_bucket": DATA}, "text", [1]])
def test_a_malformed_input_ends_in_the_queue_too(workflow: Workflow, given: Any) -> None:
    ended = workflow.start(given)
    assert ended.status == "FAILED"
    [message] = workflow.messages("ClassifyFailureQueueUrl")
    assert (message["error"], message["input"]) == ("InvalidRequest", given)


def _serve(workflow: Workflow, served: Path) -> None:
    """Creates the environment's endpoint, as a deployment would, and waits until it serves."""
    client = workflow.account.client("sagemaker")
    workflow.account.objects.put(ARTIFACTS, "models/a/serving/model.tar.gz", served / "model.tar.gz")
    container = {
        "Image": f"123456789012.dkr.ecr.{REGION}.amazonaws.com/assets:{IMAGE.tag}",
        "ModelDataUrl": f"s3://{ARTIFACTS}/models/a/serving/model.tar.gz",
        "Environment": {"IMGPIPE_MODEL_NAME": "colors-v1", "IMGPIPE_MAX_PAYLOAD_BYTES": "6000000"},
    }
    client.create_model(ModelName="a", PrimaryContainer=container, ExecutionRoleArn="arn:aws:iam::123456789012:role/a")
    variant = {"VariantName": "AllTraffic", "ModelName": "a", "InitialInstanceCount": 1, "InstanceType": "ml.c5.large"}
    client.create_endpoint_config(EndpointConfigName="a", ProductionVariants=[variant])
    client.create_endpoint(EndpointName="imgpipe-dev", EndpointConfigName="a")
    client.get_waiter("endpoint_in_service").wait(
        EndpointName="imgpipe-dev", WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )


@pytest.mark.slow
def test_the_real_server_answers(workflow: Workflow, served: Path, tmp_path: Path) -> None:
    workflow.account.endpoints.hosting = LocalHosting(
        objects=workflow.account.objects,
        images=(IMAGE,),
        interpreters={"serve": Path(sys.executable)},
        directory=tmp_path / "endpoint",
        idle_seconds=600,
    )
    workflow.upload("datasets/blue.png", "blue")
    workflow.upload("datasets/large.png", "green", size=(3000, 2000))
    workflow.upload("datasets/grey.png", "grey")
    try:
        _serve(workflow, served)
        blue, green, grey = [workflow.classify(f"datasets/{name}.png") for name in ("blue", "large", "grey")]
    finally:
        workflow.account.client("sagemaker").delete_endpoint(EndpointName="imgpipe-dev")
    assert [ended.cause for ended in (blue, green, grey)] == [None] * 3
    assert [(ended.output["label"], ended.output["status"]) for ended in (blue, green)] == [
        ("blue", "ACCEPTED"),
        ("green", "ACCEPTED"),
    ]
    assert (blue.output["model"], blue.output["threshold"]) == ("colors-v1", 0.5)
    assert grey.output["status"] == "THRESHOLD_CONFIDENCE_NOT_MET"
    assert workflow.messages("ReviewQueueUrl") == [grey.output]
