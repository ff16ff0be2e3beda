"""A model to serve, made by the containers' own programs: packed, trained, evaluated, packaged in fp32 and int8."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import MXNET_PYTHON, ROOT
from benchmarks.measure import BenchmarkError, Command, run

PRECISIONS = ("fp32", "int8")
PREFIX = "image-classification"
LEARNING_RATE = 0.05
RECORD = "made.json"


@dataclass(frozen=True, kw_only=True)
class Network:
    """What is trained, on what: ``side`` is the network's input, ``short_side`` that of the records."""

    num_layers: int
    side: int
    short_side: int
    epochs: int
    batch_size: int = 32


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A trained model in the forms that are compared: ``trained`` for MXNet, ``packaged`` folders by precision.

    ``accuracy`` on the same test records is MXNet's under "mxnet", and the packaged models' by precision.
    """

    network: Network
    trained: Path
    epoch: int
    packaged: Mapping[str, Path]
    accuracy: Mapping[str, float]
    test_images: int


def kept_model(images: Path, network: Network, place: Path) -> ServedModel:
    """The model that an earlier call left in `place`, or a new one; BenchmarkError where it is of another network."""
    record = place / RECORD
    if not record.is_file():
        model = make_model(images, network, place)
        record.write_text(json.dumps(asdict(model), default=str), encoding="utf-8")
        return model
    content = _json(record)
    if content.pop("network") != asdict(network):
        raise BenchmarkError(f"{place} holds a model of another network: name another folder with --model")
    packaged = {precision: Path(folder) for precision, folder in content.pop("packaged").items()}
    return ServedModel(network=network, trained=Path(content.pop("trained")), packaged=packaged, **content)


def make_model(images: Path, network: Network, place: Path) -> ServedModel:
    """Train on class folders and package; BenchmarkError with a program's own words where one fails."""
    packed = _packed(images, network, place / "preprocess")
    trained = _trained(packed, network, place / "train")
    archive = place / "trained" / "model.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(trained.iterdir()):
            tar.add(path, path.name)
    inputs = {"model": archive.parent, "test": packed / "test", "dataset": packed / "dataset"}
    evaluation = _step("evaluate", inputs, place / "evaluate") / "evaluation"
    inputs |= {"evaluation": evaluation, "validation": packed / "validation"}
    accuracy = {"mxnet": float(_json(evaluation / "evaluation.json")["metrics"]["accuracy"]["value"])}
    packaged = {}
    for precision in PRECISIONS:
        # Whatever int8 costs, it is measured: no drop is too large to be packaged here.
        options = ["--precision", precision, "--max-accuracy-drop", "1"]
        outputs = _step("package", inputs, place / f"package-{precision}", *options)
        packaged[precision] = _unpacked(outputs / "serving" / "model.tar.gz", place / precision, precision)
        accuracy[precision] = float(_json(packaged[precision] / "model.json")["accuracy"])
    return ServedModel(
        network=network,
        trained=trained,
        epoch=int(_json(trained / "training.json")["best_params"].removesuffix(".params").rpartition("-")[2]),
        packaged=packaged,
        accuracy=accuracy,
        test_images=int(_json(packed / "dataset" / "dataset.json")["counts"]["test"]),
    )


def _packed(images: Path, network: Network, root: Path) -> Path:
    """Return the outputs of packing, with a fifth of the images for the test."""
    shape = ["--image-size", str(network.side), "--resize", str(network.short_side)]
    split = ["--validation-fraction", "0.1", "--test-fraction", "0.2"]
    return _step("preprocess", {"data": images}, root, *shape, *split, python=sys.executable)


def _trained(packed: Path, network: Network, root: Path) -> Path:
    dataset = _json(packed / "dataset" / "dataset.json")
    hyperparameters = {
        "num_classes": len(dataset["classes"]),
        "num_training_samples": dataset["counts"]["train"],
        "num_layers": network.num_layers,
        "image_shape": f"3,{network.side},{network.side}",
        "mini_batch_size": network.batch_size,
        "epochs": network.epochs,
        "learning_rate": LEARNING_RATE,
    }
    config = root / "input" / "config"
    config.mkdir(parents=True)
    content = {name: str(value) for name, value in hyperparameters.items()}
    (config / "hyperparameters.json").write_text(json.dumps(content), encoding="utf-8")
    for channel in ("train", "validation"):
        (root / "input" / "data" / channel).mkdir(parents=True)
        shutil.copyfile(packed / channel / f"{channel}.rec", root / "input" / "data" / channel / f"{channel}.rec")
    _run([str(MXNET_PYTHON), "-m", "train", "train"], root)
    return root / "model"


def _step(name: str, inputs: Mapping[str, Path], root: Path, *options: str, python: str = str(MXNET_PYTHON)) -> Path:
    """Run a processing container's program; returns the folder of its outputs."""
    folder = root / "processing" / "input"
    folder.mkdir(parents=True)
    for channel, path in inputs.items():
        (folder / channel).symlink_to(path.resolve())
    _run([python, "-m", name, *options], root)
    return root / "processing" / "output"


def _run(words: Sequence[str], root: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PYTHONPATH": str(ROOT / "processing"), "ML_ROOT": str(root), "PYTHONUNBUFFERED": "1"}
    run(Command(words=words, environment=environment, log=root / "log.txt"))


def _unpacked(archive: Path, folder: Path, precision: str) -> Path:
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:  # made above, flat; one by one, for tarfile's filters are not in every supported Python
            content = tar.extractfile(member)
            if content is None or member.name != Path(member.name).name:
                raise BenchmarkError(f"{archive}: {member.name} is no file of the archive's top")
            (folder / member.name).write_bytes(content.read())
    found = _json(folder / "model.json")["precision"]
    if found != precision:
        raise BenchmarkError(f"{archive}: packaged in {found} where {precision} was asked for")
    return folder


def _json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
