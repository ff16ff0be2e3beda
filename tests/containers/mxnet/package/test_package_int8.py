"""int8: made from validation records alone, taken only where it costs little, and every reason not to take it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
from digits import Job, options, write_records

from common.contract import ContainerError
from common.recordio import read_records
from evaluate.model import load_model
from evaluate.thresholds import thresholds
from package import precision
from package.batch_norm import as_convolutions
from package.job import package
from package.onnx_export import export
from package.onnx_model import Images, OnnxModel
from package.precision import choose
from package.quantize import calibration_images, quantize


def packaged(job: Job, **chosen: Any) -> dict[str, Any]:
    content = package(job.inputs, options("int8", **chosen), provenance=job.package, serving=job.serving)
    serving: dict[str, Any] = content["serving"]
    assert serving == json.loads((job.package / "package.json").read_text())["serving"]
    assert serving["requested_precision"] == "int8"
    return serving


def model_json(job: Job) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((job.serving / "model.json").read_text())
    return content


def exported(job: Job) -> bytes:
    return export(load_model(job.archive, dataset=job.dataset))


def labels(job: Job) -> np.ndarray:
    return np.array([int(record.header.label) for record in read_records(job.inputs.test_records)])


def test_int8_is_served(job: Job) -> None:
    serving = packaged(job)
    assert (serving["precision"], serving["reason"]) == ("int8", None)
    fp32 = job.evaluation()["metrics"]["accuracy"]["value"]
    assert fp32 - 0.05 < serving["accuracy"] == serving["int8_accuracy"]
    assert model_json(job)["precision"] == "int8"
    assert (job.serving / "model.tar.gz").stat().st_size < len(exported(job)) / 3
    page = (job.package / "report.html").read_text()
    assert "Served as int8, as asked for." in page
    assert "instead of" not in page


def test_its_thresholds_are_those_of_its_own_answers(job: Job) -> None:
    packaged(job)
    images = calibration_images(job.inputs.validation_records, (3, 16, 16))
    answers = OnnxModel(quantize(exported(job), images)).predict(job.inputs.test_records, labels(job))
    expected = thresholds(answers, precision=job.evaluation()["thresholds"]["precision"])
    assert model_json(job)["thresholds"]["overall"] == expected.overall.threshold
    assert expected.overall.threshold != job.evaluation()["thresholds"]["overall"]["threshold"]


def test_int8_of_several_labels(job_of_several: Job) -> None:
    serving = packaged(job_of_several)
    assert (serving["precision"], serving["reason"]) == ("int8", None)
    assert serving["accuracy"] > job_of_several.evaluation()["metrics"]["accuracy"]["value"] - 0.05


def test_int8_that_loses_too_much(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrated on darkness, every bright activation is cut off."""
    monkeypatch.setattr(precision, "calibration_images", _dark)
    serving = packaged(job)
    fp32 = job.evaluation()["metrics"]["accuracy"]["value"]
    assert (serving["precision"], serving["accuracy"]) == ("fp32", fp32)
    assert serving["int8_accuracy"] < fp32 - 0.05
    assert serving["reason"] == (
        f"int8 lowers the accuracy on the test records from {fp32:.4f} to {serving['int8_accuracy']:.4f}; it has to "
        "lose less than 0.05"
    )
    assert model_json(job)["precision"] == "fp32"
    assert model_json(job)["thresholds"]["overall"] == job.evaluation()["thresholds"]["overall"]["threshold"]
    page = (job.package / "report.html").read_text()
    assert "fp32 instead of int8." in page
    assert serving["reason"][5:] in page


def _dark(*_: object) -> Images:
    return np.zeros((4, 3, 16, 16), np.float32)


def test_a_drop_as_large_as_the_limit_is_too_large(job: Job) -> None:
    """A limit of 0 wants int8 to be better, and with the limit a little above the drop it is served."""
    answers = OnnxModel(exported(job)).predict(job.inputs.test_records, labels(job))
    common: dict[str, Any] = {"test": job.inputs.test_records, "validation": job.inputs.validation_records}
    first = choose(exported(job), answers, requested="int8", max_accuracy_drop=0, **common)
    assert first.int8 is not None
    lost = int(answers.correct.sum()) - int(first.int8.correct.sum())
    assert lost >= 0, "this model became better; train it another way"
    at, above = (
        choose(exported(job), answers, requested="int8", max_accuracy_drop=limit, **common).precision
        for limit in (lost / len(answers.labels), (lost + 1) / len(answers.labels))
    )
    assert (first.precision, at, above) == ("fp32", "fp32", "int8")


def test_int8_below_what_the_gate_asks_is_not_served(job: Job) -> None:
    answers = OnnxModel(exported(job)).predict(job.inputs.test_records, labels(job))
    common: dict[str, Any] = {"test": job.inputs.test_records, "validation": job.inputs.validation_records}
    found = choose(exported(job), answers, requested="int8", max_accuracy_drop=1, **common)
    assert (found.precision, found.int8 is not None) == ("int8", True)
    reached = int(found.answers.correct.sum()) / len(answers.labels)
    at, above = (
        choose(exported(job), answers, requested="int8", max_accuracy_drop=1, min_accuracy=least, **common)
        for least in (reached, reached + 1e-6)
    )
    assert (at.precision, above.precision) == ("int8", "fp32")
    assert above.reason is not None
    assert "a model needs" in above.reason


@pytest.mark.parametrize("there", ["no folder", "no file", "no record"])
def test_without_validation_records(job: Job, there: str) -> None:
    path = job.inputs.validation_records
    path.unlink()
    if there == "no folder":
        path.parent.rmdir()
    elif there == "no record":
        write_records(path, [])
    serving = packaged(job)
    assert (serving["precision"], serving["int8_accuracy"]) == ("fp32", None)
    assert serving["reason"].startswith("there are no validation records to calibrate int8 with")
    assert "There are no validation records" in (job.package / "report.html").read_text()


def test_damaged_validation_records(job: Job) -> None:
    path = job.inputs.validation_records
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ContainerError, match=r"validation\.rec is damaged"):
        packaged(job)
    assert [found for found in job.written() if found.is_file()] == []


def test_fp32_reads_no_validation_record(job: Job) -> None:
    job.inputs.validation_records.write_bytes(b"damaged")
    content = package(job.inputs, options(), provenance=job.package, serving=job.serving)
    assert content["serving"]["precision"] == "fp32"


def test_calibration_takes_a_few_records_by_chance_but_always_the_same(job: Job) -> None:
    path, shape = job.inputs.validation_records, (3, 16, 16)
    everything = calibration_images(path, shape)
    assert everything is not None
    assert everything.shape == (150, *shape)
    some = calibration_images(path, shape, limit=40)
    assert some is not None
    np.testing.assert_array_equal(some, calibration_images(path, shape, limit=40))
    places = [int(np.flatnonzero((everything == image).all(axis=(1, 2, 3)))[0]) for image in some]
    assert len(set(places)) == 40
    assert max(places) > 100, "not only those at the start"


def test_probabilities_are_not_rounded_to_int8(job: Job) -> None:
    images = calibration_images(job.inputs.validation_records, (3, 16, 16))
    answers = OnnxModel(quantize(exported(job), images)).probabilities(images)
    assert len(np.unique(answers)) > answers.size / 2
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)


def test_only_the_images_are_normalised_in_fp32(job: Job) -> None:
    images = calibration_images(job.inputs.validation_records, (3, 16, 16))
    found = onnx.load_from_string(quantize(exported(job), images))
    assert [node.input[0] for node in found.graph.node if node.op_type == "BatchNormalization"] == ["data"]


def test_a_normalisation_as_a_convolution_answers_the_same(job: Job) -> None:
    before = onnx.load_from_string(exported(job))
    after = onnx.load_from_string(exported(job))
    as_convolutions(after)
    counts = [[node.op_type for node in model.graph.node].count("BatchNormalization") for model in (before, after)]
    assert (counts[0] > 10, counts[1]) == (True, 1)
    found = [
        OnnxModel(model.SerializeToString()).predict(job.inputs.test_records, labels(job)).probabilities
        for model in (before, after)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
