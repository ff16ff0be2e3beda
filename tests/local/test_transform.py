"""Batch transform end to end: a trained, packaged and approved model classifies a folder; and the deployed command."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from end_to_end import Command, CommandLine, Parameters

import imgpipe.batch
from local.assembly import CloudAssembly
from local.emulator.account import EmulatedAccount


@pytest.fixture
def pictures(tmp_path: Path, digits: Path) -> Path:
    """An image of each digit twice, in another order in a folder; a text, an empty file and a hidden one."""
    folder = tmp_path / "pictures"
    (folder / "deep" / "er").mkdir(parents=True)
    for place, digit in enumerate(sorted(digits.iterdir())):
        first = sorted(digit.iterdir())[0]
        shutil.copyfile(first, folder / f"{digit.name} one.png")
        shutil.copyfile(first, folder / "deep" / "er" / f"{9 - place}-{digit.name}.png")
    (folder / "text.jpg").write_text("no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / ".hidden").write_text("x")
    return folder


@pytest.mark.slow
def test_an_approved_version_classifies_a_folder(
    imgpipe: CommandLine, digits: Path, small: Parameters, pictures: Path, tmp_path: Path
) -> None:
    trained = imgpipe("run", "--data", str(digits), "--runtime", "process", *small(Epochs="8", AugmentationType="none"))
    assert (trained.returncode, trained.stderr) == (0, "")
    command = ("transform", str(pictures), "--local", "--runtime", "process")
    early = imgpipe(*command)
    assert "no version is approved" in early.stderr
    named = imgpipe(*command, "--version", "1")
    assert "version 1 is PendingManualApproval" in named.stderr
    assert imgpipe("approve", "1", "--local", "--no-deploy").returncode == 0

    out = tmp_path / "predictions.csv"
    done = imgpipe(*command, "--out", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    assert "20 of 22 images classified by version 1" in done.stdout
    assert "2 not classified (1 empty, 1 not_an_image)" in done.stdout
    summary = imgpipe.summary()
    assert (summary["pipeline"], summary["status"]) == ("transform", "Succeeded")
    assert (summary["transform"]["images"], summary["transform"]["classified"]) == (22, 20)
    with out.open(newline="") as file:
        rows = {row["key"]: (row["label"], row["probability"]) for row in csv.DictReader(file)}
    assert len(rows) == 20
    # However little the model has learned: copies get the same answer wherever they are listed, others another one.
    seen = {digit: rows[f"{digit} one.png"] for digit in range(10)}
    assert seen == {digit: rows[f"deep/er/{9 - digit}-{digit}.png"] for digit in range(10)}
    assert len(set(seen.values())) > 5
    assert sum(label == str(digit) for digit, (label, _) in seen.items()) >= 4, "chance would give 1"
    predictions = imgpipe.home / "runs/latest/steps/Join/processing/output/predictions"
    lines = [json.loads(line) for line in (predictions / "predictions.jsonl").read_text().splitlines()]
    assert {line["key"]: line["error"]["code"] for line in lines if "error" in line} == {
        "empty.png": "empty",
        "text.jpg": "not_an_image",
    }
    failed = imgpipe("errors", "--local", "--since", "1d")
    assert "local run, pipeline transform" not in failed.stdout, "what is refused at once is no run"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("nowhere", "--local"), "error: nowhere does not exist: give a folder of images"),
        (("s3://bucket/x", "--local"), "error: s3://bucket/x: --local takes a folder of this machine"),
        ((".", "--local", "--out", "/nowhere/x.csv"), "the folder /nowhere does not exist"),
        (("s3://bucket/x", "--out", "x.csv"), "error: --out needs the results: add --wait"),
    ],
)
def test_mistakes_are_one_line(imgpipe: CommandLine, arguments: tuple[str, ...], reason: str) -> None:
    result = imgpipe("transform", *arguments)
    assert result.returncode == 1
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1
    assert imgpipe.runs == []


def test_without_a_model_nothing_is_begun(imgpipe: CommandLine, pictures: Path) -> None:
    result = imgpipe("transform", str(pictures), "--local")
    assert "no local run has registered a model in environment dev" in result.stderr
    assert imgpipe.runs == []


@pytest.fixture
def outputs(account: EmulatedAccount, assembly: CloudAssembly) -> dict[str, str]:
    return account.deploy(assembly.up_to("training"))


def _executions(account: EmulatedAccount, outputs: dict[str, str]) -> list[dict[str, Any]]:
    sagemaker = account.client("sagemaker")
    listed = sagemaker.list_pipeline_executions(PipelineName=outputs["TransformPipelineName"])
    return [
        {
            item["Name"]: item["Value"]
            for item in sagemaker.list_pipeline_parameters_for_execution(
                PipelineExecutionArn=execution["PipelineExecutionArn"]
            )["PipelineParameters"]
        }
        for execution in listed["PipelineExecutionSummaries"]
    ]


def test_a_folder_is_uploaded_once_and_an_execution_started(
    account: EmulatedAccount, outputs: dict[str, str], pictures: Path, imgpipe_here: Command
) -> None:
    code, out, error = imgpipe_here("transform", str(pictures), "--version", "3")
    assert (code, error) == (0, "")
    uri, arn, follow = out.splitlines()
    assert uri.startswith(outputs["BatchUri"])
    assert follow.startswith(f"Follow it: imgpipe status {arn.rsplit('/', 1)[-1]} --pipeline transform")
    keys = sorted(account.objects.keys(outputs["DataBucketName"], ""))
    assert len(keys) == 22
    assert f"s3://{outputs['DataBucketName']}/{keys[-1]}" == f"{uri}text.jpg"
    # The same folder has the same place; another content another.
    assert imgpipe_here("transform", str(pictures))[1].splitlines()[0] == uri
    (pictures / "text.jpg").write_text("other")
    assert imgpipe_here("transform", str(pictures))[1].splitlines()[0] != uri


def test_waiting_brings_the_results_or_the_reason(
    account: EmulatedAccount, outputs: dict[str, str], tmp_path: Path
) -> None:
    deployed = imgpipe.batch.BatchDeployed("dev")
    arn = deployed.start({"InputDataUri": "s3://bucket/x"}, pipeline="transform")
    execution, sagemaker = arn.rsplit("/", 1)[-1], account.client("sagemaker")
    place = f"s3://{outputs['ArtifactBucketName']}/executions/x/predictions"
    job = sagemaker.create_processing_job(
        ProcessingJobName="join",
        ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}},
        AppSpecification={"ImageUri": "image"},
        RoleArn="arn:aws:iam::123456789012:role/execution",
        ProcessingOutputConfig={
            "Outputs": [
                {
                    "OutputName": "predictions",
                    "S3Output": {"S3Uri": place, "LocalPath": "/opt/ml/x", "S3UploadMode": "EndOfJob"},
                }
            ]
        },
    )["ProcessingJobArn"]
    step = {"StepName": "Join", "StepStatus": "Executing", "Metadata": {"ProcessingJob": {"Arn": job}}}
    states = iter([("Executing", step), ("Succeeded", step | {"StepStatus": "Succeeded"})])

    def advance(_seconds: float = 0) -> None:
        status, listed = next(states)
        account.job_states.execution(arn, status=status, failure_reason=None, steps=[listed])

    advance()
    changes: list[str] = []
    assert deployed.wait_for_predictions(execution, on_change=changes.append, sleep=advance) == place
    assert [change.split() for change in changes] == [["Join", "executing"], ["Join", "succeeded"]]

    failed = step | {"StepStatus": "Failed", "FailureReason": "no image"}
    account.job_states.execution(arn, status="Failed", failure_reason="Step failure", steps=[failed])
    with pytest.raises(imgpipe.batch.CommandError, match=r"has not succeeded: step Join: no image"):
        deployed.wait_for_predictions(execution, on_change=changes.append)
