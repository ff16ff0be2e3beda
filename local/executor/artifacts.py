"""What a training job leaves: model.tar.gz and output.tar.gz, equal content giving equal archives."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.executor.instances import Instance
from local.executor.tools import StepFailed
from local.storage import Store, all_files, split_uri


def store_artifact(store: Store, instances: Sequence[Instance], *, uri: str, path: Path) -> None:
    """Packs what the instances wrote below `model` into `path` and stores it at `uri`."""
    pack(_written(instances, "model"), path)
    store.put(*split_uri(uri), path)


def store_further_output(store: Store, instances: Sequence[Instance], *, uri: str, path: Path) -> None:
    """Does the same with what they wrote below `output/data`; where they wrote nothing there is no archive."""
    if members := _written(instances, "output/data"):
        pack(members, path)
        store.put(*split_uri(uri), path)


def pack(members: Mapping[str, Path], path: Path) -> None:
    """Writes a tar.gz of files by their names in it: names sorted, times and owners left out."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=1) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name in sorted(members):
            archive.add(members[name], name, recursive=False, filter=_without_owner)


def _written(instances: Sequence[Instance], folder: str) -> dict[str, Path]:
    """The files of all instances; two that wrote one name are an error, for one of them would be lost."""
    members: dict[str, Path] = {}
    for instance in instances:
        for path in all_files(instance.root / folder):
            name = path.relative_to(instance.root / folder).as_posix()
            if name in members:
                raise StepFailed(f"two instances wrote {folder}/{name}: let the first host alone write it")
            members[name] = path
    return members


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
