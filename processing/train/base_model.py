"""The model that a job starts from: channel `model` (train it on) or channel `pretrained` (other classes)."""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mxnet as mx

from common.archive import extract_files
from common.contract import ContainerError
from common.hashing import sha256_of
from train import networks
from train.artifacts import PREFIX, SHAPES_NAME, TRAINING_NAME, Parameters, split_prefixed
from train.hyperparameters import Hyperparameters

CONTINUED, PRETRAINED = "model", "pretrained"
ARCHIVE = "model.tar.gz"
# Weights and bias of the layer that has one output for each class.
LAST_LAYER = "fc1_"
PARAMETERS = re.compile(rf"{PREFIX}-\d+\.params")


@dataclass(frozen=True)
class BaseModel:
    """Parameters to start from; `sha256` is that of model.tar.gz, or of the .params file where it came unpacked."""

    channel: str
    sha256: str
    parameters: Parameters
    image_shape: tuple[int, ...] | None

    @property
    def num_classes(self) -> int:
        """Number of classes it tells apart."""
        return int(self.parameters.arguments[f"{LAST_LAYER}weight"].shape[0])

    @property
    def num_layers(self) -> int:
        """Depth of its network."""
        return networks.depth(self.parameters.arguments)

    def described(self) -> dict[str, str]:
        """What training.json says of it."""
        return {"channel": self.channel, "sha256": self.sha256}


def read(channel: str, directory: Path) -> BaseModel:
    """Read the model in a channel's directory: model.tar.gz, or its files.

    Of several .params the one that training.json names as the best is taken, without training.json the highest epoch.
    """
    if not directory.is_dir():
        raise ContainerError(f"channel {channel} is missing: no directory {directory}; give the job this channel")
    archive = directory / ARCHIVE
    if not archive.is_file():
        return _unpacked(channel, directory, sha256=None)
    with tempfile.TemporaryDirectory() as temporary:
        extract_files(archive, Path(temporary), wanted=_wanted)
        return _unpacked(channel, Path(temporary), sha256=sha256_of(archive))


def starting_parameters(base: BaseModel, chosen: Hyperparameters) -> Parameters:
    """The parameters that a job can start from; ContainerError, naming both sides, where the model does not fit it.

    Of a pretrained model the last layer is left out: its outputs are other classes.
    """
    _refuse_other(base, "num_layers", base.num_layers, chosen.num_layers)
    if base.channel == CONTINUED:
        _refuse_other(base, "num_classes", base.num_classes, chosen.num_classes)
        if base.image_shape is not None:
            _refuse_other(base, "image_shape", _text(base.image_shape), _text(chosen.image_shape))
    arguments, auxiliary = _shapes(chosen)
    if base.channel == PRETRAINED:
        arguments = {name: shape for name, shape in arguments.items() if not name.startswith(LAST_LAYER)}
    return Parameters(
        _fitting(base, base.parameters.arguments, arguments), _fitting(base, base.parameters.auxiliary, auxiliary)
    )


def _refuse_other(base: BaseModel, name: str, theirs: object, ours: object) -> None:
    if theirs != ours:
        raise ContainerError(
            f"the model in channel {base.channel} has {name} {theirs}, this job has {ours}; "
            f"set {name} to {theirs}, or give another model"
        )


def _shapes(chosen: Hyperparameters) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Shapes of the job's own parameters and auxiliary states."""
    symbol = networks.resnet(
        num_layers=chosen.num_layers, num_classes=chosen.num_classes, image_shape=chosen.image_shape
    )
    arguments, _, auxiliary = symbol.infer_shape(data=(1, *chosen.image_shape))
    shapes = dict(zip(symbol.list_arguments(), arguments, strict=True))
    shapes = {name: shape for name, shape in shapes.items() if name not in ("data", "softmax_label")}
    return shapes, dict(zip(symbol.list_auxiliary_states(), auxiliary, strict=True))


def _fitting(
    base: BaseModel, given: Mapping[str, mx.nd.NDArray], wanted: Mapping[str, tuple[int, ...]]
) -> dict[str, mx.nd.NDArray]:
    for name, shape in wanted.items():
        found = f"of shape {_text(given[name].shape)}" if name in given else "missing"
        if name not in given or given[name].shape != shape:
            raise ContainerError(
                f"the model in channel {base.channel} does not fit: its {name} is {found}, this job's is of shape "
                f"{_text(shape)}; give a model of the same network and image size"
            )
    return {name: given[name] for name in wanted}


def _unpacked(channel: str, directory: Path, *, sha256: str | None) -> BaseModel:
    path = _chosen_file(channel, directory)
    try:
        parameters = split_prefixed(mx.nd.load(str(path)))
    except (mx.base.MXNetError, AttributeError, ValueError):  # an array without names has no items
        raise ContainerError(f"channel {channel}: {path.name} is no file of MXNet parameters") from None
    if f"{LAST_LAYER}weight" not in parameters.arguments:
        raise ContainerError(
            f"channel {channel}: {path.name} has no layer {LAST_LAYER[:-1]}; give a model of this layout"
        )
    return BaseModel(channel, sha256 or sha256_of(path), parameters, _image_shape(channel, directory / SHAPES_NAME))


def _chosen_file(channel: str, directory: Path) -> Path:
    found = sorted(path for path in directory.iterdir() if PARAMETERS.fullmatch(path.name))
    if not found:
        raise ContainerError(f"channel {channel} holds no {PREFIX}-NNNN.params; give it a {ARCHIVE} of this layout")
    content = _json(channel, directory / TRAINING_NAME, {})
    if isinstance(content, dict) and content.get("best_params") is None:
        return found[-1]
    named = content["best_params"] if isinstance(content, dict) else None
    if not isinstance(named, str):
        raise ContainerError(
            f"channel {channel}: {TRAINING_NAME} must be an object whose best_params is a file name; "
            "give the file that training wrote, or leave it out"
        )
    if directory / named not in found:
        raise ContainerError(f"channel {channel}: {TRAINING_NAME} names {named}, which is not there; pack it whole")
    return directory / named


def _image_shape(channel: str, path: Path) -> tuple[int, ...] | None:
    """(channels, height, width) of model-shapes.json, None where there is none."""
    content = _json(channel, path, None)
    if content is None:
        return None
    try:
        return tuple(int(side) for side in content[0]["shape"][1:])
    except (LookupError, TypeError, ValueError):
        raise ContainerError(f"channel {channel}: {path.name} names no shape of the input data") from None


def _json(channel: str, path: Path, default: Any) -> Any:
    if not path.is_file():
        return default
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContainerError(f"channel {channel}: {path.name} is not JSON: {error}") from None


def _wanted(name: str) -> bool:
    return name in (SHAPES_NAME, TRAINING_NAME) or PARAMETERS.fullmatch(name) is not None


def _text(shape: tuple[int, ...]) -> str:
    return ",".join(map(str, shape))
