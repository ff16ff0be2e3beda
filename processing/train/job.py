"""One training job: reads SageMaker's configuration files, checks everything, trains."""

import json
from pathlib import Path
from typing import Any

from common.contract import ContainerError, ml_root
from train import channels, hyperparameters
from train.artifacts import ModelDirectory
from train.fit import Trainer, log
from train.networks import resnet

REQUIRED_CHANNELS = ("train", "validation")


def run(threads: int) -> None:
    """Train from $ML_ROOT/input into $ML_ROOT/model; ContainerError for anything the job cannot be run with."""
    config = ml_root() / "input" / "config"
    chosen = hyperparameters.load(config / "hyperparameters.json")
    _check_resources(_config(config / "resourceconfig.json"), chosen.kv_store)
    _check_channels(_config(config / "inputdataconfig.json"))
    data = ml_root() / "input" / "data"
    train, validation = (channels.read(name, data / name) for name in REQUIRED_CHANNELS)
    channels.check(train, validation, chosen)
    log(f"{train.records} training and {validation.records} validation records, {threads} threads")
    symbol = resnet(num_layers=chosen.num_layers, num_classes=chosen.num_classes, image_shape=chosen.image_shape)
    model = ModelDirectory(ml_root() / "model", checkpoint_frequency=chosen.checkpoint_frequency)
    model.write_network(symbol, chosen.image_shape)
    trainer = Trainer(symbol=symbol, hyperparameters=chosen, train=train, validation=validation, threads=threads)
    trainer.fit(model)


def _config(path: Path) -> dict[str, Any]:
    """A configuration file that SageMaker writes; empty where there is none, as in a run by hand."""
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContainerError(f"{path} is not JSON: {error}") from None
    return content


def _check_resources(resources: dict[str, Any], kv_store: str | None) -> None:
    hosts = resources.get("hosts", [])
    if len(hosts) > 1:
        raise ContainerError(
            f"the job has {len(hosts)} instances; training on several is not available in the own image, "
            "set the instance count to 1"
        )
    if kv_store is not None:
        log(f"kv_store={kv_store} has no effect on one instance")


def _check_channels(given: dict[str, Any]) -> None:
    for name, settings in given.items():
        if name == "model":
            raise ContainerError(
                "channel model is given; incremental training is not available in the own image, leave the channel out"
            )
        if name not in REQUIRED_CHANNELS:
            raise ContainerError(f"channel {name} is unknown; the own image reads {' and '.join(REQUIRED_CHANNELS)}")
        mode = settings.get("TrainingInputMode", "File")
        if mode == "Pipe":
            raise ContainerError(f"channel {name} is in Pipe mode, not available in the own image; use File")
