"""approve, endpoint and predict against a deployed environment whose machine really deploys; a double answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from end_to_end import REGION, Command

from local.assembly import CloudAssembly
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.clock import Clock
from local.emulator.executions import EndedExecution, executions, follow
from local.emulator.hosting import Answer, FleetRequest, ServedRequest

TYPES = {"SupportedContentTypes": ["image/png"], "SupportedResponseMIMETypes": ["application/json"]}
REFUSAL = {"error": {"code": "not_an_image", "message": "the body holds no image that can be read"}}


class Fleets:
    """Hosting whose fleets call everything blue, but refuse what is no JSON and no picture."""

    def __init__(self) -> None:
        self.requests: dict[str, FleetRequest] = {}
        self.shares: dict[str, float] = {}

    def launch(self, request: FleetRequest) -> str:
        self.requests[request.configuration] = request
        return request.configuration

    def wait_ready(self, fleet: str) -> str | None:
        return None

    def route(self, endpoint: str, shares: Mapping[str, float]) -> None:
        self.shares = dict(shares)

    def served(self, endpoint: str) -> list[ServedRequest]:
        return []

    def stop(self, fleet: str) -> None:
        del self.requests[fleet]

    def close(self, endpoint: str) -> None:
        self.requests.clear()

    def invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Answer:
        json_type = {"Content-Type": "application/json", "x-Amzn-Invoked-Production-Variant": "AllTraffic"}
        if not self.requests:
            content = {"Message": f"Endpoint {endpoint} of account 123456789012 not found."}
            return 400, {**json_type, "X-Amzn-ErrorType": "ValidationError"}, json.dumps(content).encode()
        if body == b"nonsense":
            message = json.dumps(REFUSAL)
            content = {"Message": "Received client error (400)", "OriginalMessage": message}
            return 424, {**json_type, "X-Amzn-ErrorType": "ModelError"}, json.dumps(content).encode()
        [fleet] = [name for name, share in self.shares.items() if share == 1]
        ranked = [{"label": "blue", "probability": 0.9}, {"label": "red", "probability": 0.1}]
        prediction = {**ranked[0], "index": 0, "threshold": 0.5, "accepted": True, "ranked": ranked}
        model = {"name": self.requests[fleet].environment["IMGPIPE_MODEL_NAME"], "precision": "fp32"}
        return 200, json_type, json.dumps({"predictions": [prediction], "model": model}).encode()


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region=REGION, clock=Clock(scale=0.001)) as opened:
        opened.endpoints.hosting = Fleets()
        yield opened


@pytest.fixture
def outputs(account: EmulatedAccount, assembly: CloudAssembly) -> dict[str, str]:
    return account.deploy(assembly.up_to("serving"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(b"a picture")
    return tmp_path


def register(account: EmulatedAccount, outputs: dict[str, str], **metadata: str) -> None:
    """A version as a pipeline registers it, with its packaged sample."""
    bucket = outputs["ArtifactBucketName"]
    key = "models/execution/serving/sample.json"
    sample = {"schema_version": 1, "content_type": "application/json", "body": '["YQ=="]', "label": "blue"}
    account.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(sample).encode())
    container = {"Image": "image:1", "ModelDataUrl": f"s3://{bucket}/models/execution/serving/model.tar.gz"}
    account.client("sagemaker").create_model_package(
        ModelPackageGroupName=outputs["ModelPackageGroupName"],
        ModelApprovalStatus="PendingManualApproval",
        CustomerMetadataProperties={"sample_uri": f"s3://{bucket}/{key}", "sample_label": "blue", **metadata},
        InferenceSpecification={"Containers": [container], **TYPES},
    )


def newest(account: EmulatedAccount, outputs: dict[str, str]) -> EndedExecution:
    """The end of the deployment that was started last."""
    return follow(account, executions(account, outputs["DeployStateMachineArn"])[-1])


def rows(out: str) -> dict[str, str]:
    """What `imgpipe endpoint` shows."""
    return {name: value.strip() for name, value in (line.split(maxsplit=1) for line in out.splitlines())}


def test_from_approval_to_removal_and_back(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command, pictures: Path
) -> None:
    register(account, outputs)
    code, out, error = imgpipe_here("approve", "1")
    assert (code, error) == (0, "")
    assert out.splitlines()[1] == (
        "State machine imgpipe-dev-deploy takes it from here; follow it with `imgpipe endpoint --env dev`."
    )
    ended = newest(account, outputs)
    assert ended.status == "SUCCEEDED", ended.cause

    shown = rows(imgpipe_here("endpoint")[1])
    assert (shown["Endpoint"], shown["Status"]) == ("imgpipe-dev", "InService")
    assert shown["Model"].startswith("imgpipe-dev-v1-")
    assert shown["Configuration"] == shown["Model"]
    assert (shown["Instance"], shown["Captured"]) == ("ml.c5.large", "100 % of the requests")
    assert shown["Deployment"].endswith(": SUCCEEDED")

    code, out, error = imgpipe_here("predict", "--json", str(pictures))
    assert (code, error) == (0, "")
    answer = json.loads(out)
    assert (answer["label"], answer["accepted"], answer["model"]) == ("blue", True, shown["Model"])

    code, out, _ = imgpipe_here("endpoint", "--stop")
    assert (code, out.split(";")[0]) == (0, "Endpoint imgpipe-dev is being removed")
    assert "there is none: approve a version" in rows(imgpipe_here("endpoint")[1])["Status"]
    code, out, _ = imgpipe_here("endpoint", "--start")
    arn, follow_it = out.splitlines()
    assert (code, follow_it) == (0, "Follow it with `imgpipe endpoint --env dev`.")
    assert follow(account, arn).status == "SUCCEEDED"
    assert rows(imgpipe_here("endpoint")[1])["Status"] == "InService"


def serving(account: EmulatedAccount) -> str:
    """The version that serves, as the name of its configuration begins."""
    described = account.client("sagemaker").describe_endpoint(EndpointName="imgpipe-dev")
    return str(described["EndpointConfigName"]).rsplit("-", 1)[0]


def test_an_edit_of_an_approved_version_deploys_nothing(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command
) -> None:
    for version in ("1", "2"):
        register(account, outputs)
        imgpipe_here("approve", version)
        assert newest(account, outputs).status == "SUCCEEDED"
    before = executions(account, outputs["DeployStateMachineArn"])
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{outputs['ModelPackageGroupName']}/1"
    for edit in (
        {"CustomerMetadataProperties": {"owner": "vision"}},
        {"ApprovalDescription": "seen by two people"},
        {"ModelLifeCycle": {"Stage": "Production", "StageStatus": "Approved"}},
    ):
        account.client("sagemaker").update_model_package(ModelPackageArn=arn, **edit)
    assert executions(account, outputs["DeployStateMachineArn"]) == before
    assert serving(account) == "imgpipe-dev-v2"


def test_a_version_that_is_approved_already_is_deployed_again(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command
) -> None:
    """Its update is no change, of which there need not be an event."""
    for version in ("1", "2"):
        register(account, outputs)
        imgpipe_here("approve", version)
        assert newest(account, outputs).status == "SUCCEEDED"
    delivered = len(account.events.deliveries)
    for _ in range(2):
        code, out, error = imgpipe_here("approve", "1")
        assert (code, error) == (0, "")
        said, arn = out.splitlines()[0].split(" already, so the state machine is started directly: ")
        assert said.endswith("/1: Approved")
        assert follow(account, arn).status == "SUCCEEDED"
        assert serving(account) == "imgpipe-dev-v1"
    decisions = [item for item in account.events.deliveries[delivered:] if item.rule == "imgpipe-dev-approval"]
    assert decisions == []

    imgpipe_here("approve", "1", "--reject")
    assert newest(account, outputs).status == "SUCCEEDED"
    assert serving(account) == "imgpipe-dev-v2"
    out = imgpipe_here("approve", "1", "--reject")[1]
    assert "/1: Rejected already, so the state machine is started directly: " in out
    assert newest(account, outputs).states[-1] == "Not live"


def test_removing_the_endpoint_removes_its_scaling_first(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command
) -> None:
    """Its alarms would ring for an endpoint that is gone."""
    register(account, outputs)
    imgpipe_here("approve", "1")
    assert newest(account, outputs).status == "SUCCEEDED"
    scaling = account.client("application-autoscaling")
    scaling.register_scalable_target(
        ServiceNamespace="sagemaker",
        ResourceId="endpoint/imgpipe-dev/variant/AllTraffic",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
        MinCapacity=1,
        MaxCapacity=2,
    )
    assert imgpipe_here("endpoint", "--stop")[0] == 0
    assert scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []


def test_what_the_container_refuses_does_not_hide_the_others(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command, pictures: Path
) -> None:
    register(account, outputs)
    imgpipe_here("approve", "1")
    assert newest(account, outputs).status == "SUCCEEDED"
    (pictures / "b.png").write_bytes(b"nonsense")
    code, out, error = imgpipe_here("predict", str(pictures))
    assert (code, error) == (1, "error: 1 of 2 images could not be classified, the reasons are above\n")
    assert f"{pictures / 'a.png'}: blue (accepted, threshold 0.50)\n" in out
    assert f"{pictures / 'b.png'}: the body holds no image that can be read\n" in out


def test_before_the_first_approval(outputs: dict[str, str], imgpipe_here: Command, pictures: Path) -> None:
    shown = rows(imgpipe_here("endpoint")[1])
    assert shown["Status"] == "there is none: approve a version, or `imgpipe endpoint --start --env dev`"
    assert "Deployment" not in shown
    for arguments, reason in {
        ("endpoint", "--stop"): "there is no endpoint imgpipe-dev: nothing has to be removed",
        ("endpoint", "--start", "--stop"): "--start and --stop exclude each other: give one of them",
        ("predict", str(pictures)): "endpoint imgpipe-dev does not exist: approve a version, see `imgpipe models`",
    }.items():
        assert imgpipe_here(*arguments) == (1, "", f"error: {reason}\n")


def test_a_version_of_earlier_days_is_approved_and_not_served(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command
) -> None:
    account.client("sagemaker").create_model_package(
        ModelPackageGroupName=outputs["ModelPackageGroupName"],
        ModelApprovalStatus="PendingManualApproval",
        CustomerMetadataProperties={"content_hash": "sha256:a"},
        InferenceSpecification={"Containers": [{"Image": "image:1"}], **TYPES},
    )
    assert imgpipe_here("approve", "1")[::2] == (0, "")
    ended = newest(account, outputs)
    assert ended.status == "FAILED"
    assert "registered before there was an endpoint" in str(ended.cause)
    assert rows(imgpipe_here("endpoint")[1])["Deployment"].endswith(": FAILED")


@pytest.mark.parametrize("arguments", [("endpoint",), ("endpoint", "--start"), ("endpoint", "--stop"), ("predict",)])
def test_without_the_serving_stack(
    account: EmulatedAccount, assembly: CloudAssembly, imgpipe_here: Command, pictures: Path, arguments: tuple[str, ...]
) -> None:
    account.deploy(assembly.up_to("training"))
    images = (str(pictures),) if arguments == ("predict",) else ()
    code, out, error = imgpipe_here(*arguments, *images)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert "(no stack imgpipe-dev-serving): run `make deploy ENV=dev`" in error
