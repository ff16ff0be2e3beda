"""Reading a model.tar.gz without trusting it."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from common.contract import ContainerError

GZIP_MAGIC = b"\x1f\x8b"  # RFC 1952, 2.3.1
# A ResNet-200 with its symbol is about 260 MB; ten times that is no model of this project.
MAX_UNPACKED_BYTES = 3 * 1024**3
MAX_MEMBERS = 1000


def extract_files(archive: Path, destination: Path, *, wanted: Callable[[str], bool]) -> list[Path]:
    """Unpack the plain files of ``archive`` whose base name is ``wanted`` into ``destination``, flat.

    Every member is checked, wanted or not: a link, a device, an absolute path or one that climbs out with ``..``
    means that somebody else made this archive, and raises ContainerError, as do a damaged archive, two files of one
    name, and more than MAX_MEMBERS members or MAX_UNPACKED_BYTES bytes. Nothing is written under a member's own path.
    """
    if not archive.is_file():
        raise ContainerError(f"{archive} does not exist: this step needs the training job's model.tar.gz")
    with archive.open("rb") as file:
        if file.read(len(GZIP_MAGIC)) != GZIP_MAGIC:
            raise ContainerError(f"{archive} is no gzip archive: give a model.tar.gz")
    try:
        with tarfile.open(archive, mode="r:gz") as tar:
            return _extract_checked(tar, archive, destination, wanted)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ContainerError(f"{archive} is not a whole gzip-compressed tar archive: {error}") from error


def _extract_checked(
    tar: tarfile.TarFile, archive: Path, destination: Path, wanted: Callable[[str], bool]
) -> list[Path]:
    extracted: list[Path] = []
    total = 0
    for count, member in enumerate(tar, start=1):
        _check_member(member, archive)
        total += member.size
        if count > MAX_MEMBERS or total > MAX_UNPACKED_BYTES:
            raise ContainerError(
                f"{archive} unpacks to more than {MAX_MEMBERS} files or {MAX_UNPACKED_BYTES} bytes: not a model archive"
            )
        name = PurePosixPath(member.name).name
        if not member.isfile() or not wanted(name):
            continue
        target = destination / name
        if target in extracted:
            raise ContainerError(f"{archive} holds two files named {name!r}: one is expected")
        source = tar.extractfile(member)
        if source is None:
            raise ContainerError(f"{archive}: {member.name!r} cannot be read")
        with source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
        extracted.append(target)
    return extracted


def _check_member(member: tarfile.TarInfo, archive: Path) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise ContainerError(f"{archive}: member {member.name!r} points outside the archive; refused")
    if not (member.isfile() or member.isdir()):
        raise ContainerError(f"{archive}: member {member.name!r} is a link or device, only files are allowed; refused")
