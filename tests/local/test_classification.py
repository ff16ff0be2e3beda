"""The classification workflow in the emulated account: the deployed zips run, the machines run, nothing is stubbed but
the model's container, and in one test not even that.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from end_to_end import REGION
from PIL import Image

from infra.environments import ROOT, load_environment
from local.assembly import CloudAssembly, read_assembly
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.clock import Clock
from local.emulator.executions import EndedExecution, execute, follow
from local.endpoint.runtime_api import model_error

COLORS = {"red": (250, 10, 10), "green": (10, 250, 10), "grey": (128, 128, 128)}
INBOX = "inbox/new"
DATA = f"imgpipe-dev-data-123456789012-{REGION}"
ARTIFACTS = f"imgpipe-dev-artifacts-123456789012-{REGION}"
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

    values = load_environment("dev").model_dump() | {"classification": {"inbox_prefix": INBOX}}
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
        self.failures: list[int] = []  # status codes of the next answers
        self.gate: threading.Barrier | None = None

    def invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """As Hosting.invoke."""
        assert endpoint == "imgpipe-dev"
        self.bodies.append(body)
        if self.gate:
            self.gate.wait(LONGEST_WAIT_SECONDS)
        if self.failures:
            return model_error(self.failures.pop(0), "no answer", log="log")
        pixel = Image.open(io.BytesIO(body)).convert("RGB").resize((1, 1)).getpixel((0, 0))
        assert isinstance(pixel, tuple)
        order = sorted(range(3), key=lambda index: -pixel[index])
        shares = [pixel[index] / sum(pixel) for index in order]
        ranked = [
            {"label": list("rgb")[index], "probability": share} for index, share in zip(order, shares, strict=True)
        ]
        best = ranked[0] | {"index": order[0], "threshold": 0.8, "accepted": shares[0] >= 0.8, "ranked": ranked}
        content = {"predictions": [best], "model": {"name": "colors-v1", "precision": "fp32"}}
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


class Workflow:
    """The deployed workflow, its endpoint and what it leaves behind."""

    def __init__(self, account: EmulatedAccount, outputs: Mapping[str, str]) -> None:
        self.account, self.outputs = account, outputs
        self.model = ColorModel()
        account.endpoints.hosting = self.model  # type: ignore[assignment]

    def upload(self, key: str, color: str = "red", *, size: tuple[int, int] = (90, 60)) -> None:
        """Puts an image of one colour into the data bucket."""
        buffer = io.BytesIO()
        Image.new("RGB", size, COLORS[color]).save(buffer, "PNG")
        self.put(key, buffer.getvalue())

    def put(self, key: str, body: bytes) -> None:
        """Puts any object into the data bucket."""
        self.account.client("s3").put_object(Bucket=DATA, Key=key, Body=body)

    def classify(self, key: str) -> EndedExecution:
        """Classifies one image and waits for the end."""
        return execute(self.account, self.outputs["ClassifyStateMachineArn"], {"s3_bucket": DATA, "s3_key": key})

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


@pytest.fixture
def workflow(classification_assembly: CloudAssembly) -> Iterator[Workflow]:
    with emulated_account(region=REGION, clock=Clock(scale=0.01, longest=0.2)) as account:
        yield Workflow(account, account.deploy(classification_assembly))


def test_a_sure_answer_is_accepted_once(workflow: Workflow) -> None:
    workflow.upload("batch/a b.png")
    first, second = workflow.classify("batch/a b.png"), workflow.classify("batch/a b.png")
    assert (first.status, first.error, first.cause) == ("SUCCEEDED", None, None)
    assert first.output["status"] == "ACCEPTED"
    assert (first.output["label"], first.output["model"], first.output["threshold"]) == ("r", "colors-v1", 0.8)
    assert second.output == first.output
    assert len(workflow.model.bodies) == 1, "the second one costs no request"
    assert [item["status"]["S"] for item in workflow.results()] == ["ACCEPTED"]
    assert workflow.messages("ReviewQueueUrl") == workflow.messages("ClassifyFailureQueueUrl") == []


def test_an_unsure_answer_goes_to_review_once(workflow: Workflow) -> None:
    workflow.upload("batch/grey.png", "grey")
    first, second = workflow.classify("batch/grey.png"), workflow.classify("batch/grey.png")
    assert first.output == second.output
    assert first.output["status"] == "THRESHOLD_CONFIDENCE_NOT_MET"
    assert workflow.messages("ReviewQueueUrl") == [first.output]
    [item] = workflow.results()
    assert item["review_sent"] == {"BOOL": True}


def test_a_review_that_was_not_sent_is_sent_by_the_next_execution(workflow: Workflow) -> None:
    """The execution that wrote the result may have died before it sent the message."""
    workflow.upload("batch/grey.png", "grey")
    result = workflow.classify("batch/grey.png").output
    workflow.messages("ReviewQueueUrl")
    client, table = workflow.account.client("dynamodb"), workflow.outputs["ResultTableName"]
    client.update_item(
        TableName=table, Key={"id": {"S": result["id"]}}, UpdateExpression="REMOVE review_sent", ReturnValues="NONE"
    )
    again = workflow.classify("batch/grey.png")
    assert again.states[-4:] == ["Reviewed", "SendToReview", "MarkSent", "Result"]
    assert again.output == result


def test_executions_at_the_same_time_agree(workflow: Workflow) -> None:
    """Both ask the endpoint before either writes; one result and one message are left."""
    workflow.upload("batch/grey.png", "grey")
    workflow.model.gate = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(workflow.classify, ["batch/grey.png"] * 2))
    assert [item.status for item in ended] == ["SUCCEEDED"] * 2, [item.cause for item in ended]
    assert len(workflow.model.bodies) == 2
    assert ended[0].output == ended[1].output
    assert len(workflow.results()) == 1
    assert workflow.messages("ReviewQueueUrl") == [ended[0].output]


def test_a_new_version_of_an_image_is_another_image(workflow: Workflow) -> None:
    for color in ("red", "green"):
        workflow.upload("batch/a.png", color)
        workflow.classify("batch/a.png")
    assert sorted(item["label"]["S"] for item in workflow.results()) == ["g", "r"]


@pytest.mark.parametrize(
    ("key", "body", "error", "said"),
    [
        ("batch/text.png", b"no image", "InvalidImage", "no image"),
        ("batch/empty.png", b"", "InvalidImage", "empty"),
        ("batch/missing.png", None, "InvalidRequest", "does not exist"),
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


def test_a_failing_endpoint_is_asked_again(workflow: Workflow) -> None:
    workflow.upload("batch/a.png")
    workflow.model.failures = [503, 500]
    ended = workflow.classify("batch/a.png")
    assert (ended.status, ended.cause) == ("SUCCEEDED", None)
    assert len(workflow.model.bodies) == 3
    assert _tried(workflow, ended) == 2


def test_an_image_that_the_model_refuses_is_not_sent_again(workflow: Workflow) -> None:
    workflow.upload("batch/a.png")
    workflow.model.failures = [400]
    ended = workflow.classify("batch/a.png")
    assert ended.status == "FAILED"
    assert len(workflow.model.bodies) == 1
    [message] = workflow.messages("ClassifyFailureQueueUrl")
    assert message["error"] == "EndpointRefused"


def test_a_large_photo_is_shrunk_before_it_is_sent(workflow: Workflow) -> None:
    live = {"schema_version": 1, "metadata": {"resize": "64"}}
    workflow.account.client("s3").put_object(
        Bucket=ARTIFACTS, Key="serving/imgpipe-dev/live.json", Body=json.dumps(live)
    )
    workflow.upload("batch/large.png", size=(3000, 2000))
    assert workflow.classify("batch/large.png").output["label"] == "r"
    [body] = workflow.model.bodies
    assert Image.open(io.BytesIO(body)).size == (96, 64)


def test_a_new_image_in_the_inbox_is_classified_by_itself(workflow: Workflow) -> None:
    workflow.upload("batch/elsewhere.png")
    workflow.put(f"{INBOX}/folder/", b"")
    assert workflow.account.events.deliveries == []
    workflow.upload(f"{INBOX}/new ü+1.png", "green")
    [delivery] = workflow.account.events.deliveries
    ended = follow(workflow.account, delivery.answer)
    assert (ended.status, ended.cause) == ("SUCCEEDED", None)
    assert (ended.output["label"], ended.output["s3_key"]) == ("g", f"{INBOX}/new ü+1.png")


def test_all_images_below_a_prefix(workflow: Workflow) -> None:
    for number, color in enumerate(("red", "green", "grey")):
        workflow.upload(f"batch/main/{number}.png", color)
    workflow.put("batch/main/labels.csv", b"a,b")
    workflow.upload("batch/other/4.png")
    machine = workflow.outputs["ClassifyPrefixStateMachineArn"]
    ended = execute(workflow.account, machine, {"s3_bucket": DATA, "s3_prefix": "batch/main/"})
    assert (ended.status, ended.cause) == ("SUCCEEDED", None)
    assert ended.output["images"] == {"total": 4, "succeeded": 4, "failed": 0}
    assert ended.output["results"]["Bucket"] == ARTIFACTS
    assert sorted(item["label"]["S"] for item in workflow.results() if item["status"]["S"] == "ACCEPTED") == ["g", "r"]
    assert [message["s3_key"] for message in workflow.messages("ReviewQueueUrl")] == ["batch/main/2.png"]


def test_a_prefix_with_too_many_broken_images_is_given_up(workflow: Workflow) -> None:
    workflow.upload("batch/main/0.png")
    workflow.put("batch/main/1.png", b"no image")
    machine = workflow.outputs["ClassifyPrefixStateMachineArn"]
    ended = execute(workflow.account, machine, {"s3_bucket": DATA, "s3_prefix": "batch/main/"})
    assert ended.status == "FAILED"
    assert "States.ExceedToleratedFailureThreshold" in str(ended.cause)
    errors = {message["error"] for message in workflow.messages("ClassifyFailureQueueUrl")}
    assert errors == {"InvalidImage", "States.ExceedToleratedFailureThreshold"}


@pytest.mark.parametrize("given", [{}, {"s3_bucket": DATA}, "text", [1]])
def test_a_malformed_input_ends_in_the_queue_too(workflow: Workflow, given: Any) -> None:
    ended = execute(workflow.account, workflow.outputs["ClassifyStateMachineArn"], given)
    assert ended.status == "FAILED"
    [message] = workflow.messages("ClassifyFailureQueueUrl")
    assert (message["error"], message["input"]) == ("InvalidRequest", given)
