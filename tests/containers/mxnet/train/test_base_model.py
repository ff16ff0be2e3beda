"""Training starts from a model in channel model or pretrained: which of its files, what must fit, what it gains."""

import hashlib
import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest

from common.contract import ContainerError
from train import base_model, job
from train.artifacts import PREFIX

MakeJob = Callable[..., Path]


def packed(model: Path, target: Path) -> Path:
    """model.tar.gz as SageMaker makes it from a model directory."""
    target.mkdir(parents=True)
    with tarfile.open(target / "model.tar.gz", "w:gz") as archive:
        for path in sorted(model.iterdir()):
            archive.add(path, path.name)
    return target / "model.tar.gz"


def losses(log: str, name: str = "Validation-cross-entropy") -> list[float]:
    return [float(value) for value in re.findall(rf"^Epoch\[\d+\] {name}=(\S+)$", log, re.MULTILINE)]


@pytest.fixture
def scratch(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> Path:
    """A finished job of two epochs, every epoch of which is kept."""
    root = make_job(name="scratch", checkpoint_frequency=1)
    job.run(2)
    capfd.readouterr()
    return root


def training(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "model" / "training.json").read_text())
    return content


def test_a_job_that_goes_on_starts_above_the_end_of_the_first(
    make_job: MakeJob, capfd: pytest.CaptureFixture[str]
) -> None:
    given = {"train": 96, "validation": 60, "learning_rate": 0.01}
    first = make_job(name="first", epochs=2, **given)
    job.run(2)
    before = capfd.readouterr().out
    second = make_job(name="second", epochs=1, **given)
    archive = packed(first / "model", second / "input/data/model")
    job.run(2)
    after = capfd.readouterr().out
    assert losses(after)[0] < losses(before)[-1]
    assert losses(after, "Validation-accuracy")[0] >= losses(before, "Validation-accuracy")[-1]
    assert losses(after, "Train-accuracy")[0] > losses(before, "Train-accuracy")[-1]
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert training(second)["base_model"] == {"channel": "model", "sha256": digest}


def test_with_rate_0_the_model_stays_what_it_was(make_job: MakeJob, scratch: Path) -> None:
    """The statistics move on, but every weight is the base model's."""
    root = make_job(epochs=1, learning_rate=0)
    packed(scratch / "model", root / "input/data/model")
    job.run(2)
    best = mx.nd.load(str(scratch / "model" / training(scratch)["best_params"]))
    for name, value in mx.nd.load(str(root / "model" / training(root)["best_params"])).items():
        if name.startswith("arg:"):
            np.testing.assert_array_equal(value.asnumpy(), best[name].asnumpy(), err_msg=name)


def test_pretraining_on_other_classes_helps(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    first = make_job(name="first", train=96, epochs=4, learning_rate=0.02)
    job.run(2)
    capfd.readouterr()
    # Other classes: what were 3 are taken for 4, of which the last has no images.
    given = {"train": 48, "validation": 60, "num_classes": 4, "epochs": 1, "learning_rate": 0.02}
    make_job(name="fresh", **given)
    job.run(2)
    fresh = losses(capfd.readouterr().out)
    second = make_job(name="second", use_pretrained_model=1, **given)
    packed(first / "model", second / "input/data/pretrained")
    job.run(2)
    assert losses(capfd.readouterr().out)[0] < fresh[0]
    assert training(second)["base_model"]["channel"] == "pretrained"
    parameters = mx.nd.load(str(second / "model" / training(second)["best_params"]))
    assert parameters["arg:fc1_weight"].shape[0] == parameters["arg:fc1_bias"].shape[0] == 4


def mark(directory: Path, values: dict[int, float]) -> None:
    """Parameter files that tell themselves apart."""
    directory.mkdir()
    for number, value in values.items():
        content = {"arg:fc1_weight": mx.nd.full((2, 4), value), "arg:fc1_bias": mx.nd.zeros((2,))}
        mx.nd.save(str(directory / f"{PREFIX}-{number:04d}.params"), content)


@pytest.mark.parametrize(("best", "expected"), [("image-classification-0003.params", 3.0), (None, 12.0)])
def test_the_best_parameters_else_the_highest_epoch(tmp_path: Path, best: str | None, expected: float) -> None:
    mark(tmp_path / "files", {2: 2.0, 3: 3.0, 12: 12.0})
    if best is not None:
        (tmp_path / "files" / "training.json").write_text(json.dumps({"best_params": best}))
    packed(tmp_path / "files", tmp_path / "channel")
    for directory in ("files", "channel"):
        found = base_model.read("model", tmp_path / directory)
        assert found.parameters.arguments["fc1_weight"].asnumpy()[0, 0] == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_classes": 4}, "the model in channel model has num_classes 3, this job has 4; set num_classes to 3, or"),
        ({"num_layers": 32}, "the model in channel model has num_layers 20, this job has 32; "),
        ({"image_shape": "3,10,12"}, "the model in channel model has image_shape 3,12,12, this job has 3,10,12; "),
    ],
)
def test_a_model_of_another_kind_is_refused(
    make_job: MakeJob, scratch: Path, given: dict[str, object], message: str
) -> None:
    root = make_job(**given)
    packed(scratch / "model", root / "input/data/model")
    with pytest.raises(ContainerError, match=re.escape(message)):
        job.run(2)
    assert not (root / "model").exists()


def test_a_pretrained_model_needs_the_same_depth(make_job: MakeJob, scratch: Path) -> None:
    root = make_job(num_classes=5, num_layers=32, use_pretrained_model=1)
    packed(scratch / "model", root / "input/data/pretrained")
    with pytest.raises(ContainerError, match="channel pretrained has num_layers 20, this job has 32"):
        job.run(2)


def test_a_parameter_of_another_shape_is_named(make_job: MakeJob, scratch: Path) -> None:
    path = scratch / "model" / training(scratch)["best_params"]
    parameters = mx.nd.load(str(path))
    parameters["arg:conv0_weight"] = mx.nd.zeros((16, 3, 7, 7))
    mx.nd.save(str(path), parameters)
    root = make_job()
    packed(scratch / "model", root / "input/data/model")
    message = "its conv0_weight is of shape 16,3,7,7, this job's is of shape 16,3,3,3"
    with pytest.raises(ContainerError, match=message):
        job.run(2)


@pytest.mark.parametrize(
    ("folders", "given", "message"),
    [
        (
            [],
            {"use_pretrained_model": 1},
            "there is no channel pretrained; give the job this channel .* built-in image",
        ),
        (["pretrained"], {}, "channel pretrained is given with use_pretrained_model 0; set it to 1, or leave it out"),
        (["model", "pretrained"], {"use_pretrained_model": 1}, "leave one out"),
        (["model"], {}, "channel model holds no image-classification-NNNN.params; give it a model.tar.gz"),
    ],
)
def test_channels_that_do_not_go_together(
    make_job: MakeJob, folders: list[str], given: dict[str, object], message: str
) -> None:
    root = make_job(**given)
    for folder in folders:
        (root / "input/data" / folder).mkdir()
    with pytest.raises(ContainerError, match=message):
        job.run(2)


def spoil_training(directory: Path) -> None:
    (directory / "training.json").write_text('{"best_params": "image-classification-0007.params"}')


def spoil_json(directory: Path) -> None:
    (directory / "training.json").write_text("{")


def list_training(directory: Path) -> None:
    (directory / "training.json").write_text("[]")


def number_training(directory: Path) -> None:
    (directory / "training.json").write_text('{"best_params": 3}')


def spoil_shapes(directory: Path) -> None:
    (directory / "model-shapes.json").write_text("{}")


def spoil_parameters(directory: Path) -> None:
    for path in directory.glob("*.params"):
        path.write_bytes(b"no parameters")


def other_network(directory: Path) -> None:
    for path in directory.glob("*.params"):
        mx.nd.save(str(path), {"arg:dense_weight": mx.nd.zeros((3, 3))})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_training, "training.json names image-classification-0007.params, which is not there"),
        (spoil_json, "training.json is not JSON"),
        (list_training, "training.json must be an object whose best_params is a file name"),
        (number_training, "training.json must be an object whose best_params is a file name"),
        (spoil_shapes, "model-shapes.json names no shape"),
        (spoil_parameters, r"image-classification-000\d.params is no file of MXNet parameters"),
        (other_network, "has no layer fc1"),
    ],
)
def test_a_damaged_model_is_named(scratch: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(scratch / "model")
    with pytest.raises(ContainerError, match=rf"channel model: .*{message}"):
        base_model.read("model", scratch / "model")


def test_an_archive_that_climbs_out_is_refused(tmp_path: Path) -> None:
    mark(tmp_path / "files", {1: 1.0})
    (tmp_path / "channel").mkdir()
    with tarfile.open(tmp_path / "channel" / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "files" / f"{PREFIX}-0001.params", f"../{PREFIX}-0001.params")
    with pytest.raises(ContainerError, match="points outside the archive"):
        base_model.read("model", tmp_path / "channel")


def test_a_job_goes_on_from_its_own_base_alone(make_job: MakeJob, scratch: Path) -> None:
    root = make_job(epochs=2)
    (root / "checkpoints").mkdir()
    packed(scratch / "model", root / "input/data/model")
    job.run(2)
    shutil.rmtree(root / "input/data/model")
    with pytest.raises(ContainerError, match="is of another job, with base model"):
        job.run(2)
