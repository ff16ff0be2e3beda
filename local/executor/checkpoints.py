"""Checkpoints of a training job: brought before it starts, kept whenever it ends, so that another can go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from local.executor.instances import Instance
from local.executor.paths import below_root
from local.storage import Store, all_files, download, split_uri, upload

_DEFAULT_PATH: Final = "/opt/ml/checkpoints"


def bring_checkpoints(store: Store, config: Mapping[str, Any], instance: Instance) -> None:
    """Makes an instance's directory of checkpoints with all that lies at the job's S3Uri."""
    directory = _directory(config, instance)
    directory.mkdir(parents=True, exist_ok=True)
    bucket, prefix = split_uri(_prefix(config))
    if any(not key.endswith("/") for key in store.keys(bucket, prefix)):
        download(store, _prefix(config), directory)


def keep_checkpoints(store: Store, config: Mapping[str, Any], instances: Sequence[Instance]) -> None:
    """Stores what the instances have written; where several wrote a name, the first's stays."""
    for instance in reversed(instances):
        directory = _directory(config, instance)
        if directory.is_dir():
            upload(store, directory, _prefix(config), files=all_files(directory))


def _directory(config: Mapping[str, Any], instance: Instance) -> Path:
    return instance.root / below_root(config.get("LocalPath", _DEFAULT_PATH))


def _prefix(config: Mapping[str, Any]) -> str:
    return f"{str(config['S3Uri']).rstrip('/')}/"
