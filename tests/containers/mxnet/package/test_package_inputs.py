"""What a packaging job refuses: missing, damaged and mixed inputs. Nothing is left then."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest
from digits import Job, options, write_records

from common.contract import ContainerError
from common.recordio import read_records
from package.job import package


def refused(job: Job, message: str) -> None:
    with pytest.raises(ContainerError, match=message):
        package(job.inputs, options(), provenance=job.package, serving=job.serving)
    assert [path for path in job.written() if path.is_file()] == []


@pytest.mark.parametrize(
    "missing",
    [
        "model/model.tar.gz",
        "evaluation/report.html",
        "evaluation/evaluation.json",
        "evaluation/baseline.json",
        "dataset/labels.json",
        "dataset/dataset.json",
        "test/test.rec",
    ],
)
def test_a_missing_input_leaves_nothing(job: Job, missing: str) -> None:
    (job.input / missing).unlink()
    refused(job, rf"{missing} does not exist")


def test_scores_of_other_classes(job: Job) -> None:
    path = job.input / "evaluation/evaluation.json"
    path.write_text(json.dumps(job.evaluation() | {"classes": job.dataset.classes[::-1]}))
    refused(job, "name different classes")


@pytest.mark.parametrize("damage", ["no thresholds", "a class less"])
def test_an_evaluation_without_its_thresholds(job: Job, damage: str) -> None:
    content = job.evaluation()
    if damage == "no thresholds":
        del content["thresholds"]
    else:
        del content["thresholds"]["per_class"][0]
    (job.input / "evaluation/evaluation.json").write_text(json.dumps(content))
    expected = {"no thresholds": "no valid field 'thresholds'", "a class less": "for 9 classes, the data set has 10"}
    refused(job, expected[damage])


def test_a_report_without_a_place_for_the_section(job: Job) -> None:
    (job.input / "evaluation/report.html").write_text("<html></html>")
    refused(job, "report.html has no place .* run the evaluation again")


@pytest.mark.parametrize(
    ("member", "message"), [("../evil", "points outside the archive; refused"), ("training.json", "malformed")]
)
def test_a_hostile_or_malformed_artifact(job: Job, member: str, message: str) -> None:
    with tarfile.open(job.archive, "w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.size = 2
        tar.addfile(info, io.BytesIO(b"{}"))
    refused(job, message)


def test_a_cut_artifact(job: Job) -> None:
    job.archive.write_bytes(job.archive.read_bytes()[:3000])
    refused(job, "not a whole")


def test_a_model_that_gets_nothing_right(job: Job) -> None:
    records = list(read_records(job.inputs.test_records))
    wrong = [((record.header.label + np.float64(1)) % 10, record.payload) for record in records]
    write_records(job.inputs.test_records, [([label], payload) for label, payload in wrong[:1]])
    refused(job, "test.rec has no record for the smoke test .* get none of 1 right")
