"""Model versions of local runs: listed, compared, approved."""

from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from imgpipe.errors import CommandError
from imgpipe.results import print_comparison, print_models
from imgpipe.versions import Difference, ModelVersion, compare, local_versions, pick, registry_of
from local.registry.store import RegistryStore

BUCKET = "artifacts"


def stored(store: RegistryStore, number: int, *, accuracy: float, files: bool = True) -> None:
    place = f"models/{number}/package"
    uri = f"s3://{BUCKET}/{place}/evaluation.json"

    def write(directory: Path) -> None:
        (directory / place).mkdir(parents=True)
        contents: dict[str, Any] = {
            "evaluation.json": {
                "metrics": {"accuracy": {"value": accuracy}, "worst_class_recall": {"value": 0.5}},
                "classes": ["bicycle", "motorcycle", "scooter", "tram"][: 2 * number],
            },
            "dataset.json": {"content_hash": f"sha256:{number}", "classes": ["a"], "counts": {"train": 8}},
        }
        for name, content in contents.items() if files else ():
            (directory / place / name).write_text(json.dumps(content))

    with store.locked():
        store.add(
            version=number,
            arn=f"arn:group/{number}",
            created=datetime(2024, 5, number, tzinfo=timezone.utc),
            approval_status="PendingManualApproval",
            bucket=BUCKET,
            request={
                "ModelMetrics": {"ModelQuality": {"Statistics": {"S3Uri": uri}}},
                "CustomerMetadataProperties": {
                    "execution_id": str(number),
                    "num_classes": "1",
                    "report_uri": f"s3://{BUCKET}/{number}/report.html",
                },
            },
            write_objects=write,
        )


@pytest.fixture
def store(tmp_path: Path) -> RegistryStore:
    store = RegistryStore(tmp_path, "dev")
    stored(store, 1, accuracy=0.5)
    stored(store, 2, accuracy=0.75)
    return store


def test_local_versions_are_listed_newest_first(store: RegistryStore) -> None:
    listed = local_versions(store)
    assert [(item.version, item.arn, item.accuracy) for item in listed] == [
        (2, "arn:group/2", 0.75),
        (1, "arn:group/1", 0.5),
    ]


def test_what_differs(store: RegistryStore) -> None:
    versions = local_versions(store)
    rows = compare(pick(versions, 1), pick(versions, 2))
    assert [(row.group, row.name, row.left, row.right, row.change) for row in rows] == [
        ("Version", "created", "2024-05-01 00:00:00", "2024-05-02 00:00:00", None),
        ("Metric", "accuracy", "0.5000", "0.7500", 0.25),
        ("Data", "content hash", "sha256:1", "sha256:2", None),
        ("Metadata", "execution_id", "1", "2", None),
        ("Metadata", "report_uri", "s3://artifacts/1/report.html", "s3://artifacts/2/report.html", None),
    ]
    names = [row.name for row in compare(pick(versions, 1), pick(versions, 2), everything=True)]
    assert {"approval", "worst_class_recall", "train images", "num_classes"} <= set(names)


def test_what_each_version_tells_apart_is_listed(store: RegistryStore) -> None:
    stored(store, 3, accuracy=0.9, files=False)
    assert [item.classes for item in local_versions(store)] == [
        "1",
        "4: bicycle, motorcycle, scooter, ...",
        "2: bicycle, motorcycle",
    ]
    output = io.StringIO()
    print_models(Console(file=output), local_versions(store))
    assert "2: bicycle, motorcycle " in output.getvalue()


def compared(rows: list[Difference], *, verbose: bool = False) -> str:
    output = io.StringIO()
    print_comparison(Console(file=output), 1, 2, rows, verbose=verbose)
    return output.getvalue()


def test_a_comparison_is_narrow_unless_everything_is_asked_for() -> None:
    names = ", ".join(f"class {number}" for number in range(30))
    rows = [
        Difference(group="Data", name="content hash", left=f"sha256:{'a' * 64}", right=f"sha256:{'b' * 64}"),
        Difference(group="Data", name="class names", left=names, right="a, b"),
        Difference(group="Metadata", name="report_uri", left="s3://bucket/1/report.html", right=None),
        Difference(
            group="Metadata", name="mxnet_image", left=f"1.dkr.ecr.us-east-1.amazonaws.com/x:{'a' * 64}", right=None
        ),
        Difference(group="Metadata", name="execution_id", left="abc", right="def"),
    ]
    short = compared(rows)
    assert max(map(len, short.splitlines())) < 120
    assert "Differ too, --verbose shows how: content hash, report_uri, mxnet_image" in short
    assert all(text not in short for text in ("s3://", "sha256", "ecr"))
    assert "abc" in short
    whole = compared(rows, verbose=True)
    assert all(text in whole for text in (names, "s3://bucket/1/report.html", "a" * 64))
    assert "--verbose" not in whole


def test_the_hyperparameters_of_the_built_in_image_come_from_the_model_card() -> None:
    """Its packages have no record of the training."""
    job = {"hyper_parameters": [{"name": "epochs", "value": "3"}]}
    card = {"training_details": {"training_job_details": job}}
    description = {
        "ModelPackageVersion": 1,
        "ModelPackageArn": "arn:group/1",
        "ModelApprovalStatus": "Approved",
        "CreationTime": datetime(2024, 5, 1, tzinfo=timezone.utc),
        "ModelMetrics": {"ModelQuality": {"Statistics": {"S3Uri": "s3://bucket/models/1/evaluation.json"}}},
        "ModelCard": {"ModelCardContent": json.dumps(card)},
    }
    builtin = ModelVersion.from_description(description, lambda uri: json.dumps({"hyperparameters": {}}))
    own = ModelVersion.from_description(description, lambda uri: json.dumps({"hyperparameters": {"epochs": "5"}}))
    assert builtin.hyperparameters == {"epochs": "3"}
    assert own.hyperparameters == {"epochs": "5"}


def test_a_version_whose_files_are_gone_is_listed_without_them(store: RegistryStore) -> None:
    stored(store, 3, accuracy=0.9, files=False)
    versions = local_versions(store)
    assert versions[0].accuracy is None
    [row] = [row for row in compare(versions[1], versions[0]) if row.name == "accuracy"]
    assert (row.left, row.right, row.change) == ("0.7500", None, None)


def test_versions_and_registries_that_there_are_not(store: RegistryStore, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there is no version 9: choose one of 2, 1"):
        pick(local_versions(store), 9)
    assert registry_of(tmp_path, "dev").directory == store.directory
    with pytest.raises(CommandError, match="no local run has registered a model in environment staging"):
        registry_of(tmp_path, "staging")
