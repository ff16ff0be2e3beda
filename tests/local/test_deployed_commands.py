"""upload, start, status and models against a deployed environment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from end_to_end import Command

import imgpipe.cli
import imgpipe.project
from local.assembly import CloudAssembly
from local.emulator.account import EmulatedAccount
from local.pipeline import DeployedPipeline


@pytest.fixture
def outputs(account: EmulatedAccount, assembly: CloudAssembly) -> dict[str, str]:
    """Those of an environment that serves nothing; see test_deployed_serving.py for one that does."""
    return account.deploy(assembly.up_to("training"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cats/1.jpg", "cats/2.jpg", "dogs/1.jpg", "dogs/.DS_Store", ".git/config"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "pictures"


def test_upload_sends_what_is_new_or_changed(
    account: EmulatedAccount, outputs: dict[str, str], folder: Path, imgpipe_here: Command
) -> None:
    uri = outputs["DatasetUri"].rstrip("/")
    bucket = outputs["DataBucketName"]
    keys = ["datasets/main/cats/1.jpg", "datasets/main/cats/2.jpg", "datasets/main/dogs/1.jpg"]

    assert imgpipe_here("upload", str(folder)) == (0, f"{uri}: 3 sent, 0 unchanged, 0 removed\n", "")
    assert sorted(account.objects.keys(bucket, "")) == keys
    assert imgpipe_here("upload", str(folder))[1] == f"{uri}: 0 sent, 3 unchanged, 0 removed\n"

    (folder / "cats" / "1.jpg").write_text("changed")
    (folder / "cats" / "2.jpg").unlink()
    assert imgpipe_here("upload", str(folder))[1] == f"{uri}: 1 sent, 1 unchanged, 0 removed\n"
    assert account.client("s3").get_object(Bucket=bucket, Key=keys[0])["Body"].read() == b"changed"
    assert sorted(account.objects.keys(bucket, "")) == keys

    assert imgpipe_here("upload", str(folder), "--delete")[1] == f"{uri}: 0 sent, 2 unchanged, 1 removed\n"
    assert sorted(account.objects.keys(bucket, "")) == [keys[0], keys[2]]


def test_upload_refuses_what_is_no_data_set(outputs: dict[str, str], tmp_path: Path, imgpipe_here: Command) -> None:
    code, _, error = imgpipe_here("upload", str(tmp_path / "none"))
    assert (code, error.count("\n")) == (1, 1)
    assert "does not exist" in error


def test_start_and_status(account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command) -> None:
    code, _, error = imgpipe_here("status")
    assert (code, error.count("\n")) == (1, 1)
    assert "has no execution yet: start one with `imgpipe start --pipeline train --env dev`" in error

    arns = [imgpipe_here("start", "--param", f"Epochs={epochs}")[1].strip() for epochs in (3, 4)]
    assert all(":pipeline/" in arn and "/execution/" in arn for arn in arns)
    sagemaker = account.client("sagemaker")
    parameters = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arns[0])["PipelineParameters"]
    assert parameters == [{"Name": "Epochs", "Value": "3"}]
    ids = [arn.rsplit("/", 1)[-1] for arn in arns]
    for asked, expected in (((), ids[1]), ((ids[0],), ids[0]), ((arns[1],), ids[1])):
        code, out, _ = imgpipe_here("status", *asked)
        assert code == 0
        assert f"Execution {expected}" in out
    code, _, error = imgpipe_here("status", "nosuchone123")
    assert (code, "has no execution nosuchone123" in error) == (1, True)


def test_status_shows_steps_and_reasons(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command
) -> None:
    started = DeployedPipeline.read(account, outputs["TrainPipelineName"]).start({})
    account.job_states.execution(
        started.arn,
        status="Failed",
        failure_reason="Step Train failed: [bold]too hot[/bold]",
        steps=[
            {
                "StepName": "Resolve",
                "StepStatus": "Succeeded",
                "StartTime": started.started,
                "EndTime": started.started,
            },
            {
                "StepName": "Train",
                "StepStatus": "Failed",
                "StartTime": started.started,
                "FailureReason": "[Errno 28] x",
            },
        ],
    )
    _, out, _ = imgpipe_here("status")
    assert out.index("Resolve") < out.index("Train")
    assert "[Errno 28] x" in out
    assert "Step Train failed: [bold]too hot[/bold]" in out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("Epoch=3", "parameter Epoch is unknown: did you mean Epochs?"),
        ("Epochs=many", "parameter Epochs: 'many' is not a whole number"),
        ("Epochs=-1", "parameter Epochs: -1 is out of range, it must be at least 1"),
        ("RecordFormat=gif", "parameter RecordFormat: 'gif' is not allowed, it takes one of jpg, png"),
        ("Epochs", "--param 'Epochs': write it as Name=value"),
    ],
)
def test_start_refuses_wrong_parameters(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command, given: str, message: str
) -> None:
    code, out, error = imgpipe_here("start", "--param", given)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert message in error
    listed = account.client("sagemaker").list_pipeline_executions(PipelineName=outputs["TrainPipelineName"])
    assert listed["PipelineExecutionSummaries"] == []


def register(account: EmulatedAccount, outputs: dict[str, str], accuracy: float, **metadata: str) -> None:
    """A version with the files beside its evaluation that a pipeline packages."""
    s3, bucket = account.client("s3"), outputs["ArtifactBucketName"]
    files: dict[str, Any] = {
        "evaluation.json": {"metrics": {"accuracy": {"value": accuracy}, "roc_auc": {"value": None}}},
        "dataset.json": {"content_hash": "sha256:a", "classes": ["a", "b"], "counts": {"train": int(100 * accuracy)}},
        "package.json": {"hyperparameters": {"learning_rate": str(accuracy / 10), "epochs": "3"}},
    }
    for name, content in files.items():
        s3.put_object(Bucket=bucket, Key=f"models/{accuracy}/{name}", Body=json.dumps(content).encode())
    uri = f"s3://{bucket}/models/{accuracy}/evaluation.json"
    account.client("sagemaker").create_model_package(
        ModelPackageGroupName=outputs["ModelPackageGroupName"],
        ModelApprovalStatus="PendingManualApproval",
        CustomerMetadataProperties={"kept": "yes", **metadata},
        ModelMetrics={"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": uri}}},
        InferenceSpecification={
            "Containers": [{"Image": "image:1"}],
            "SupportedContentTypes": ["image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
    )


def test_models_are_listed_newest_first_with_their_accuracy(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command
) -> None:
    assert imgpipe_here("models")[0] == 0
    for accuracy in (0.5, 0.75):
        register(account, outputs, accuracy)
    code, out, _ = imgpipe_here("models")
    assert code == 0
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [
        ["2", "PendingManualApproval", "0.7500"],
        ["1", "PendingManualApproval", "0.5000"],
    ]


def test_a_deployed_version_is_approved_and_rejected(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command
) -> None:
    register(account, outputs, 0.5)
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{outputs['ModelPackageGroupName']}/1"
    sentence = "Environment dev has no serving stack, so nothing is deployed: `make deploy ENV=dev`.\n"
    assert imgpipe_here("approve", "1") == (0, f"{arn}: Approved\n{sentence}", "")
    described = account.client("sagemaker").describe_model_package(ModelPackageName=arn)
    assert described["ModelApprovalStatus"] == "Approved"
    assert described["CustomerMetadataProperties"] == {"kept": "yes"}
    assert imgpipe_here("approve", "1", "--reject")[1] == f"{arn}: Rejected\n{sentence}"
    assert imgpipe_here("approve", "2")[2] == "error: there is no version 2: choose one of 1\n"


def test_deployed_versions_are_compared(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command
) -> None:
    register(account, outputs, 0.5, base="1")
    register(account, outputs, 0.75)
    code, out, error = imgpipe_here("models", "--compare", "1", "2")
    assert (code, error) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["Metric", "accuracy", "0.5000", "0.7500", "+0.2500"] in rows
    assert ["Data", "train", "images", "50", "75", "+25"] in rows
    assert ["Hyperparameter", "learning_rate", "0.05", "0.075"] in rows
    assert ["Metadata", "base", "1", "-"] in rows
    assert "epochs" not in out
    assert "approval" not in out
    everything = imgpipe_here("models", "--compare", "1", "2", "--all")[1]
    assert ["epochs", "3", "3"] in [line.split() for line in everything.splitlines()]
    assert imgpipe_here("models", "--compare", "1", "1")[1] == "Versions 1 and 1 do not differ.\n"
    code, _, error = imgpipe_here("models", "--compare", "1", "7")
    assert (code, error) == (1, "error: there is no version 7: choose one of 2, 1\n")


LOCAL_COMMANDS = [("models",), ("approve", "1"), ("endpoint", "--start")]


@pytest.mark.parametrize("command", LOCAL_COMMANDS, ids=[item[0] for item in LOCAL_COMMANDS])
def test_without_local_versions(
    imgpipe_here: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    for module in (imgpipe.cli, imgpipe.commands.approve, imgpipe.commands.endpoint):
        monkeypatch.setattr(module, "HOME", tmp_path)
    code, _, error = imgpipe_here(*command, "--local")
    assert (code, error.count("\n")) == (1, 1)
    assert "no local run has registered a model in environment dev: `imgpipe run --env dev` does" in error


@pytest.mark.parametrize("pipeline", ["tune", "retrain"])
def test_every_pipeline_is_started(
    account: EmulatedAccount, outputs: dict[str, str], imgpipe_here: Command, pipeline: str
) -> None:
    arn = imgpipe_here("start", "--pipeline", pipeline)[1].strip()
    assert f":pipeline/imgpipe-dev-{pipeline}/execution/" in arn
    assert f"Execution {arn.rsplit('/', 1)[-1]}" in imgpipe_here("status", "--pipeline", pipeline)[1]
    assert "pipeline imgpipe-dev-train has no execution yet" in imgpipe_here("status")[2]


@pytest.mark.parametrize("command", ["start", "status", "run"])
def test_an_unknown_pipeline(imgpipe_here: Command, command: str) -> None:
    code, _, error = imgpipe_here(command, "--pipeline", "tran")
    assert (code, error.count("\n")) == (2, 1)
    assert "'tran' is not one of 'train', 'tune', 'retrain', 'transform'" in error


@pytest.mark.parametrize("command", ["start", "status", "models"])
def test_an_environment_that_is_not_deployed(account: EmulatedAccount, imgpipe_here: Command, command: str) -> None:
    code, _, error = imgpipe_here(command, "--env", "prod")
    assert (code, error.count("\n")) == (1, 1)
    assert "environment prod is not deployed in" in error
    assert "run `make deploy ENV=prod`" in error


def test_without_credentials(monkeypatch: pytest.MonkeyPatch, imgpipe_here: Command) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    code, _, error = imgpipe_here("models")
    assert (code, error) == (1, "error: no AWS credentials found: sign in first, for instance with `aws sso login`\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("region: [", "environments/dev.yaml: no valid YAML"),
        ("project: x", "environments/dev.yaml: region: is required"),
        ("", "environments/dev.yaml: region: is required"),
    ],
)
def test_a_broken_environment_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, imgpipe_here: Command, content: str, message: str
) -> None:
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "dev.yaml").write_text(content)
    monkeypatch.setattr(imgpipe.project, "ROOT", tmp_path)
    code, _, error = imgpipe_here("models")
    assert (code, error.count("\n")) == (1, 1)
    assert message in error
