"""Unpacks a model.tar.gz with checked paths; tarfile's own filters are missing before Python 3.10.12 and 3.11.4."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Final

from local.errors import LocalRunError

_GZIP_MAGIC: Final = b"\x1f\x8b"  # RFC 1952, 2.3.1


def unpack_model_archive(archive: Path, folder: Path, *, name: str) -> None:
    """Unpacks the files and folders of `archive` into `folder`, which is empty; errors call the archive `name`.

    Raises LocalRunError for what is no whole gzip-compressed tar archive, and for a member that is a link or device,
    or whose path leads outside: model archives hold regular files and folders only.
    """
    with archive.open("rb") as file:
        if file.read(len(_GZIP_MAGIC)) != _GZIP_MAGIC:
            raise LocalRunError(f"{name} is no gzip archive: give a model.tar.gz")
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                _unpack_member(tar, member, folder, name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this machine, as a full disk
        raise LocalRunError(f"{name} is not a whole gzip-compressed tar archive: {error}") from error


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, name: str) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise LocalRunError(f"{name}: member {member.name!r} points outside the archive; refused")
    if member.isdir():
        (folder / path).mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isfile() else None
    if source is None:
        raise LocalRunError(f"{name}: member {member.name!r} is a link or device, only files are allowed; refused")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    with source, (folder / path).open("wb") as file:
        shutil.copyfileobj(source, file)
