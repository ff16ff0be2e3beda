"""The packaging container: what both outputs hold, equal bytes for equal inputs, all files or none."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from digits import SIDE, Job, options, pack_model
from PIL import Image

from common.archive import extract_files
from common.contract import ContainerError
from common.recordio import read_records
from evaluate.model import load_model
from evaluate.predict import predict
from package import job as packaging
from package.convert import Converted
from package.onnx_export import export
from package.onnx_model import OnnxModel


def packaged(job: Job, **chosen: Any) -> dict[str, Any]:
    return packaging.package(job.inputs, options(**chosen), provenance=job.package, serving=job.serving)


def served(job: Job) -> dict[str, bytes]:
    """The members of the served archive by name."""
    with tarfile.open(job.serving / "model.tar.gz") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_both_outputs_and_what_is_printed(job: Job) -> None:
    done = job.run("--num-layers", "20", "--image-shape", "3,16,16", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    names = ["baseline.json", "dataset.json", "evaluation.json", "labels.json", "model.tar.gz", "package.json"]
    assert sorted(path.name for path in job.package.iterdir()) == [*names, "report.html"]
    assert sorted(path.name for path in job.serving.iterdir()) == ["model.json", "model.tar.gz", "sample.json"]
    trained = job.archive.read_bytes()
    assert (job.package / "model.tar.gz").read_bytes() == trained
    assert (job.package / "baseline.json").read_bytes() == (job.input / "evaluation/baseline.json").read_bytes()
    content = json.loads((job.package / "package.json").read_text())
    serving = content.pop("serving")
    assert content.pop("hyperparameters")["num_layers"] == "20"
    assert content == {
        "schema_version": 1,
        "training_artifact_sha256": hashlib.sha256(trained).hexdigest(),
        "content_hash": job.dataset.content_hash,
        "num_classes": 10,
        "image_shape": "3,16,16",
        "num_layers": "20",
    }
    sample = json.loads((job.serving / "sample.json").read_text())
    parity = serving.pop("parity")
    assert (parity["records"], parity["ties"]) == (200, 0)
    assert 0 < parity["max_difference"] <= 1e-4
    digest = hashlib.sha256((job.serving / "model.tar.gz").read_bytes()).hexdigest()
    assert serving == {
        "precision": "fp32",
        "requested_precision": "fp32",
        "reason": None,
        "accuracy": job.evaluation()["metrics"]["accuracy"]["value"],
        "int8_accuracy": None,
        "model_sha256": digest,
        "sample_label": sample["label"],
        "image_shape": "3x16x16",
        "resize": "18",
    }
    assert f"Served model.tar.gz in fp32 sha256:{digest}" in done.stdout


def test_the_served_archive(job: Job) -> None:
    content = packaged(job)
    files = served(job)
    assert list(files) == ["labels.json", "model.json", "model.onnx", "sample.json"]
    assert json.loads(files["labels.json"]) == job.dataset.classes
    for name in ("model.json", "sample.json"):
        assert files[name] == (job.serving / name).read_bytes()
    found = job.evaluation()["thresholds"]
    assert json.loads(files["model.json"]) == {
        "schema_version": 1,
        "image_shape": [3, SIDE, SIDE],
        "resize": 18,
        "crop": "square",
        "convert_icc": False,
        "classes": 10,
        "multi_label": False,
        "precision": "fp32",
        "thresholds": {
            "overall": found["overall"]["threshold"],
            "per_class": [entry["threshold"] for entry in found["per_class"]],
        },
        "content_hash": job.dataset.content_hash,
        "training_artifact_sha256": content["training_artifact_sha256"],
        "accuracy": content["serving"]["accuracy"],
    }
    with tarfile.open(job.serving / "model.tar.gz") as tar:
        assert {(member.mtime, member.uid, member.gid, member.mode) for member in tar} == {(0, 0, 0, 0o644)}


def test_the_served_model_alone_answers_as_mxnet(job: Job) -> None:
    """Without our reader: pixels decoded by Pillow, which for these records differ from MXNet's by rounding alone."""
    packaged(job)
    session = onnxruntime.InferenceSession(served(job)["model.onnx"], providers=["CPUExecutionProvider"])
    trained = predict(load_model(job.archive, dataset=job.dataset), job.inputs.test_records, num_classes=10)
    for place, record in enumerate(read_records(job.inputs.test_records)):
        pixels = np.asarray(Image.open(io.BytesIO(record.payload)).convert("RGB"), np.float32)[1:-1, 1:-1]
        (answer,) = session.run(None, {"data": pixels.transpose(2, 0, 1)[None]})[0]
        np.testing.assert_allclose(answer, trained.probabilities[place], atol=0.02)


def test_the_sample_is_a_test_record_that_is_answered_right(job: Job) -> None:
    packaged(job)
    sample = json.loads((job.serving / "sample.json").read_text())
    (encoded,) = json.loads(sample["body"])
    place, record = next(
        (place, record)
        for place, record in enumerate(read_records(job.inputs.test_records))
        if record.payload == base64.b64decode(encoded)
    )
    assert sample["content_type"] == "application/json"
    assert sample["index"] == record.header.label
    assert sample["label"] == job.dataset.classes[sample["index"]]
    model = OnnxModel(served(job)["model.onnx"])
    answers = model.predict(job.inputs.test_records, np.array(_labels(job)))
    assert sample["probability"] == answers.probabilities[place].max() == answers.probabilities.max() > 0.9


def test_two_runs_write_equal_bytes(job: Job, tmp_path: Path) -> None:
    written = []
    for seed in ("1", "2"):
        copy = job.copy(tmp_path / seed)
        # Sets of texts come in another order.
        environment = {"PYTHONHASHSEED": seed}
        done = copy.run("--precision", "int8", "--max-accuracy-drop", "0.1", environment=environment)
        assert done.returncode == 0, done.stderr
        assert json.loads((copy.serving / "model.json").read_text())["precision"] == "int8"
        written.append({path.name + path.parent.name: path.read_bytes() for path in copy.written() if path.is_file()})
    assert written[0] == written[1]
    assert len(written[0]) == 10


def test_several_labels(job_of_several: Job) -> None:
    job = job_of_several
    content = packaged(job)
    model = json.loads(served(job)["model.json"])
    assert (model["multi_label"], model["classes"]) == (True, 3)
    assert content["serving"]["accuracy"] == pytest.approx(job.evaluation()["metrics"]["accuracy"]["value"])
    sample = json.loads((job.serving / "sample.json").read_text())
    place = next(
        place
        for place, record in enumerate(read_records(job.inputs.test_records))
        if json.loads(sample["body"])[0] == base64.b64encode(record.payload).decode()
    )
    assert _labels(job)[place][sample["index"]] == 1


def _labels(job: Job) -> list[Any]:
    rows = [record.header.labels for record in read_records(job.inputs.test_records)]
    return [int(row[0]) if len(row) == 1 else [int(label) for label in row] for row in rows]


@pytest.mark.parametrize("record", [True, False])
def test_of_several_parameters_the_evaluated_ones_are_served(job: Job, tmp_path: Path, *, record: bool) -> None:
    """With training.json those that it names, in the built-in image's layout the last ones."""
    folder = tmp_path / "artifact"
    folder.mkdir()
    extract_files(job.archive, folder, wanted=lambda name: True)
    other = folder / f"image-classification-{'0099' if record else '0000'}.params"
    other.write_bytes(b"no parameters")
    if not record:
        (folder / "training.json").unlink()
    pack_model(folder, job.archive)
    done = job.run("--num-layers", "18", "--image-shape", "3,20,20")
    assert done.returncode == 0, done.stderr
    content = json.loads((job.package / "package.json").read_text())
    assert content["serving"]["accuracy"] == job.evaluation()["metrics"]["accuracy"]["value"] > 0.8
    assert content["serving"]["image_shape"] == "3x16x16"
    assert content["num_layers"] == ("20" if record else "18")


def test_an_altered_model_is_not_packaged(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("package.convert.export", lambda model: _altered(export(model)))
    with pytest.raises(ContainerError, match=r"answers another way .* record \d+ of test.rec is .* with ONNX Runtime"):
        packaged(job)
    assert [path for path in job.written() if path.is_file()] == []


def _altered(content: bytes) -> bytes:
    """The bias of one class a tenth higher: most answers stay the same, their probabilities do not."""
    model = onnx.load_from_string(content)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "fc1_bias")
    values = onnx.numpy_helper.to_array(bias) + np.eye(10, dtype=np.float32)[3] * 0.1
    bias.CopyFrom(onnx.numpy_helper.from_array(values, bias.name))
    return model.SerializeToString()


def test_a_failure_at_the_end_leaves_neither_output(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(report: str, found: Converted, *, trained_bytes: int) -> str:
        raise ContainerError("no page")

    monkeypatch.setattr(packaging, "with_served_model", failing)
    with pytest.raises(ContainerError, match="no page"):
        packaged(job)
    assert [path for path in job.written() if path.is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "int4"], "argument --precision: invalid choice: 'int4' (choose from 'fp32', 'int8')"),
        (["--max-accuracy-drop", "2"], "argument --max-accuracy-drop: must be a number from 0 to 1, got '2'"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: list[str], message: str) -> None:
    job = Job(tmp_path)
    done = job.run(*arguments)
    assert done.returncode == 1
    assert message in (tmp_path / "output/message").read_text()
