"""One training job: reads SageMaker's configuration files, checks everything, trains."""

import json
import tempfile
from pathlib import Path
from typing import Any

import mxnet as mx

from common.contract import ContainerError, ml_root
from train import base_model, channels, cluster, devices, hyperparameters, iterators, weights
from train.artifacts import ModelDirectory
from train.base_model import BaseModel
from train.channels import Channel
from train.checkpoints import Checkpoints, fingerprint
from train.cluster import Group, Hosts
from train.fit import Trainer
from train.hyperparameters import Hyperparameters
from train.learner import Learner
from train.logs import log

REQUIRED_CHANNELS = ("train", "validation")
LIST_CHANNELS = ("train_lst", "validation_lst")
KNOWN_CHANNELS = (*REQUIRED_CHANNELS, *LIST_CHANNELS, base_model.CONTINUED, base_model.PRETRAINED)


def run(threads: int) -> None:
    """Train from $ML_ROOT/input into $ML_ROOT/model; ContainerError for anything the job cannot be run with.

    Where $ML_ROOT/checkpoints exists, which SageMaker makes for a job with a CheckpointConfig, the job can go on there.
    """
    config = ml_root() / "input" / "config"
    data = ml_root() / "input" / "data"
    chosen = hyperparameters.load(config / "hyperparameters.json")
    hosts = cluster.read(config / "resourceconfig.json")
    _check_kv_store(hosts, chosen.kv_store)
    _check_channels(_config(config / "inputdataconfig.json"))
    gpus = mx.context.num_gpus()
    devices.check_precision(chosen.precision_dtype, gpus)
    base = _base_model(data, chosen)
    with tempfile.TemporaryDirectory() as scratch, cluster.joined(hosts) as group:
        train, validation = (
            channels.load(name, data, scratch=Path(scratch), threads=threads) for name in REQUIRED_CHANNELS
        )
        channels.check(train, validation, chosen, hosts=group.size)
        log(f"{train.records} training and {validation.records} validation records, {threads} threads, {gpus} GPUs")
        _trainer(chosen, train, validation, base, group, threads=threads, gpus=gpus).fit()


def _trainer(
    chosen: Hyperparameters,
    train: Channel,
    validation: Channel,
    base: BaseModel | None,
    group: Group,
    *,
    threads: int,
    gpus: int,
) -> Trainer:
    learner = _learner(chosen, train, validation, base, group, gpus)
    described = base.described() if base is not None else None
    model, checkpoints = None, None
    if group.rank == 0:  # the others hold the same weights, and hand in nothing
        model = ModelDirectory(ml_root() / "model", checkpoint_frequency=chosen.checkpoint_frequency)
        model.write_network(learner.symbol, chosen.image_shape)
        checkpoints = _checkpoints(chosen, train, validation, described, hosts=group.size)
    return Trainer(
        learner=learner,
        hyperparameters=chosen,
        train=train,
        validation=validation,
        threads=threads,
        model=model,
        checkpoints=checkpoints,
        base_model=described,
        group=group,
    )


def _learner(
    chosen: Hyperparameters, train: Channel, validation: Channel, base: BaseModel | None, group: Group, gpus: int
) -> Learner:
    scored = iterators.validation_batch_size(validation, chosen)
    return Learner(
        chosen,
        contexts=devices.contexts(gpus, min(scored, chosen.mini_batch_size)),
        scored_batch=scored,
        group=group,
        weights=weights.balanced(train.images_per_class(chosen.num_classes), train.records)
        if chosen.use_weighted_loss
        else None,
        start=base_model.starting_parameters(base, chosen) if base is not None else None,
    )


def _checkpoints(
    chosen: Hyperparameters, train: Channel, validation: Channel, base: dict[str, str] | None, *, hosts: int
) -> Checkpoints | None:
    directory = ml_root() / "checkpoints"
    if not directory.is_dir():
        return None
    return Checkpoints(
        directory,
        {
            "hyperparameter": hyperparameters.on_the_wire(chosen),
            "channel": {channel.name: fingerprint(channel) for channel in (train, validation)},
            "base model": base,
            # Each trains on its share with a batch of its own: another number goes another way.
            "number of hosts": hosts,
        },
    )


def _base_model(data: Path, chosen: Hyperparameters) -> BaseModel | None:
    """The model of channel `model` or `pretrained`, None without either."""
    continued, pretrained = (data / name for name in (base_model.CONTINUED, base_model.PRETRAINED))
    if continued.is_dir() and (pretrained.is_dir() or chosen.use_pretrained_model):
        raise ContainerError(
            "channel model trains a model on and use_pretrained_model starts from one for other classes; leave one out"
        )
    if chosen.use_pretrained_model and not pretrained.is_dir():
        raise ContainerError(
            "use_pretrained_model is 1, but there is no channel pretrained; give the job this channel with a "
            "model.tar.gz (nothing is downloaded), or train with the built-in image on AWS, which brings ImageNet's"
        )
    if pretrained.is_dir() and not chosen.use_pretrained_model:
        raise ContainerError("channel pretrained is given with use_pretrained_model 0; set it to 1, or leave it out")
    if chosen.use_pretrained_model:
        return base_model.read(base_model.PRETRAINED, pretrained)
    return base_model.read(base_model.CONTINUED, continued) if continued.is_dir() else None


def _config(path: Path) -> dict[str, Any]:
    """A configuration file that SageMaker writes; empty where there is none, as in a run by hand."""
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ContainerError(f"{path} is not JSON: {error}") from None
    return content


def _check_kv_store(hosts: Hosts, kv_store: str | None) -> None:
    if hosts.size == 1 and kv_store is not None:
        log(f"kv_store={kv_store} has no effect on one instance")
    if hosts.size > 1 and kv_store == "dist_async":
        raise ContainerError(
            "kv_store dist_async is not available in the own image on several instances, where the result "
            "would depend on which is faster; use dist_sync"
        )


def _check_channels(given: dict[str, Any]) -> None:
    for name, settings in given.items():
        if name not in KNOWN_CHANNELS:
            raise ContainerError(f"channel {name} is unknown; the own image reads {', '.join(KNOWN_CHANNELS)}")
        mode = settings.get("TrainingInputMode", "File")
        if mode == "Pipe":
            raise ContainerError(
                f"channel {name} is in Pipe mode, not available in the own image; use File or FastFile"
            )
