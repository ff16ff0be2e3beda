"""Whole runs in this process: determinism, cache keys, and a gate that is not passed."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from end_to_end import REGION, SMALL

from local.executor.definition import Definition, Step
from local.executor.records import StepRecord
from local.run import RunRequest, RunResult, run_locally

Run = Callable[..., RunResult]


class Witness:
    """Asks the account through boto3, while it is open, what it knows when a step has ended."""

    def __init__(self) -> None:
        self.packages: list[dict[str, Any]] = []
        self.preprocess: dict[str, Any] = {}

    def phase(self, text: str) -> None: ...

    def execution_started(self, definition: Definition, execution_id: str, runtime: str) -> None: ...

    def step_started(self, step: Step) -> None: ...

    def step_line(self, step: Step, line: str) -> None: ...

    def step_ended(self, record: StepRecord) -> None:
        sagemaker = boto3.client("sagemaker", region_name=REGION)
        if record.name == "Preprocess":
            name = record.metadata["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
            self.preprocess = sagemaker.describe_processing_job(ProcessingJobName=name)
        listed = sagemaker.list_model_packages(ModelPackageGroupName="imgpipe-dev")
        self.packages = listed["ModelPackageSummaryList"]

    def cache_key(self) -> str:
        """What the service compares for a Processing step; the execution's own paths are not in it."""
        return json.dumps(
            [self.preprocess[field] for field in ("AppSpecification", "Environment", "ProcessingInputs")],
            sort_keys=True,
        )


@pytest.fixture(scope="module")
def run(project: Path, mxnet_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    def start(data: Path, parameters: Mapping[str, str], witness: Witness) -> RunResult:
        request = RunRequest(
            environment="dev",
            data=data,
            project=project,
            home=tmp_path_factory.mktemp("home"),
            interpreters={**dict.fromkeys(("imaging", "serve"), Path(sys.executable)), "mxnet": mxnet_python},
            parameters=SMALL | parameters,
            runtime="process",
        )
        return run_locally(request, observer=witness)

    return start


Finished = tuple[RunResult, Witness]


@pytest.fixture(scope="module")
def first(run: Run, digits: Path) -> Finished:
    witness = Witness()
    return run(digits, {}, witness), witness


def packed(result: RunResult) -> dict[str, bytes]:
    """Everything that Preprocess wrote, by its path."""
    output = result.directory / "steps" / "Preprocess" / "processing" / "output"
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in output.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_the_model_package_is_found_through_boto3(first: Finished) -> None:
    result, witness = first
    [package] = witness.packages
    assert package["ModelPackageArn"] == result.summary["model_package"]["arn"]
    assert package["ModelApprovalStatus"] == "PendingManualApproval"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_metrics(first: Finished, run: Run, digits: Path) -> None:
    result, witness = first
    again_witness = Witness()
    again = run(digits, {}, again_witness)
    assert again.summary["execution_id"] != result.summary["execution_id"]
    assert {"train/train.rec", "validation/validation.rec", "test/test.rec", "dataset/dataset.json"} <= set(
        packed(again)
    )
    assert packed(again) == packed(result)
    assert again.summary["metrics"] == result.summary["metrics"]
    assert again_witness.cache_key() == witness.cache_key()


@pytest.mark.slow
def test_a_gate_that_is_not_passed_registers_nothing(first: Finished, run: Run, digits: Path, tmp_path: Path) -> None:
    """With another seed and one changed image, which must show in the packed bytes and in the cache key."""
    data = Path(shutil.copytree(digits, tmp_path / "data"))
    [one, other, *_] = sorted((data / "3").iterdir())
    shutil.copyfile(one, other)
    witness = Witness()
    result = run(data, {"Seed": "1", "AccuracyThreshold": "1.0", "Epochs": "1"}, witness)

    summary = result.summary
    assert (summary["status"], summary["model_package"]) == ("Failed", None)
    assert witness.packages == []
    gate = summary["gates"][0]
    assert (gate["metric"], gate["threshold"], gate["passed"]) == ("accuracy", 1.0, False)
    for part in ("accuracy 0.", "AccuracyThreshold: at least 1"):
        assert part in summary["failure_reason"]
    assert [step["name"] for step in summary["steps"]][-2:] == ["Gate", "BelowThreshold"]
    assert packed(result)["train/train.rec"] != packed(first[0])["train/train.rec"]
    assert summary["dataset"]["content_hash"] != first[0].summary["dataset"]["content_hash"]
    changed, unchanged = (json.loads(item.cache_key())[1]["LISTING_HASH"] for item in (witness, first[1]))
    assert changed != unchanged
