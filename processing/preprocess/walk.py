"""Finds the image files below a folder, without trusting anything that lies there."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from common.contract import ContainerError

ACCEPTED_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
# Images that the packer does not read: reported as rejected, so that none is lost without a word.
OTHER_IMAGE_SUFFIXES = frozenset(
    {".avif", ".heic", ".heif", ".jp2", ".jxl", ".pbm", ".pgm", ".pnm", ".ppm", ".psd", ".svg", ".tga"}
)
LIST_SUFFIX = ".lst"


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A file that could not be used; ``path`` is relative to the data folder, ``size`` in bytes."""

    path: str
    reason: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """What lies in a data folder; paths are relative to it, with forward slashes.

    ``images`` are files to try, ``lists`` the .lst files of the folder itself, ``ignored`` what is no image by its
    name, hidden names included.
    """

    images: list[str] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def walk(source: Path) -> Found:
    """List all files below ``source``; a link counts as the file that it leads to, if that lies in ``source`` too.

    Links to folders are rejected; links out of the folder, broken ones, and what is no plain file are so where their
    names are those of images or lists. ContainerError where ``source`` or a folder in it cannot be read.
    """
    if source.is_file():
        raise ContainerError(f"{source} is a file: give a folder that holds one folder of images per class")
    if not source.is_dir():
        raise ContainerError(f"{source} does not exist: give a folder that holds one folder of images per class")
    found = Found()
    root = os.path.realpath(source)
    pending = [""]
    while pending:
        folder = pending.pop()
        for entry in _entries(os.path.join(source, folder)):  # noqa: PTH118  # names may be no UTF-8, and are many
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                found.ignored.append(path)
            elif entry.is_symlink():
                _sort_link(found, entry, path, root)
            elif entry.is_dir(follow_symlinks=False):
                pending.append(path)
            else:
                _sort_file(found, path, plain=entry.is_file(follow_symlinks=False), entry=entry)
    return found


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        # A folder that cannot be read must not pass for an empty one: its images would be missing.
        raise ContainerError(f"{folder} cannot be read: {error.strerror}; make it readable, or remove it") from None


def _sort_link(found: Found, entry: os.DirEntry[str], path: str, root: str) -> None:
    mode = size = 0
    try:
        target = entry.stat()
        mode, size = target.st_mode, target.st_size
    except OSError as error:
        reason = f"broken link: {error.strerror}"
    else:
        if os.path.commonpath([root, os.path.realpath(entry.path)]) != root:
            reason = "link that leads out of the data folder: put the file itself there"
        elif stat.S_ISDIR(mode):
            reason = "link to a folder: only links to files count"
        else:
            _sort_file(found, path, plain=stat.S_ISREG(mode), entry=entry)
            return
    if stat.S_ISDIR(mode) or _suffix(entry) in {*ACCEPTED_SUFFIXES, *OTHER_IMAGE_SUFFIXES, LIST_SUFFIX}:
        found.rejections.append(Rejection(path=path, reason=reason, size=size if stat.S_ISREG(mode) else 0))
    else:
        found.ignored.append(path)


def _sort_file(found: Found, path: str, *, plain: bool, entry: os.DirEntry[str]) -> None:
    suffix = _suffix(entry)
    if suffix in ACCEPTED_SUFFIXES:
        reason = "" if plain else "no plain file"
    elif suffix in OTHER_IMAGE_SUFFIXES:
        reason = f"{suffix} is not supported: convert it to jpg or png"
    else:
        is_list = suffix == LIST_SUFFIX and plain and "/" not in path
        (found.lists if is_list else found.ignored).append(path)
        return
    if not reason:
        found.images.append(path)
        return
    found.rejections.append(Rejection(path=path, reason=reason, size=_size(entry) if plain else 0))


def _suffix(entry: os.DirEntry[str]) -> str:
    stem, dot, suffix = entry.name.rpartition(".")
    return f"{dot}{suffix.lower()}" if stem else ""


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat().st_size
    except OSError:  # it has gone since the folder was listed; it is rejected anyway
        return 0
