"""Finds the class folders and their images."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from common.contract import ContainerError

ACCEPTED_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
# Images that this pipeline does not take: reported as rejected, so that none is lost without a word.
OTHER_IMAGE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
)
MIN_CLASSES = 2


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image file; ``path`` is relative to the data folder with forward slashes, ``label`` its class index."""

    path: str
    label: int


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A file that could not be used; ``size`` in bytes."""

    path: str
    reason: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What lies in a data folder: classes in label order, usable files, unusable images, and what is no image."""

    classes: list[str]
    items: list[Item] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


def scan(source: Path) -> Listing:
    """List the class folders in ``source``: sorted by code point they are labels 0..n-1; hidden names are skipped.

    Images may lie deeper inside a class folder. ContainerError where the folder is missing or empty, where there are
    fewer than two classes, or where a class name cannot be printed.
    """
    if not source.is_dir():
        raise ContainerError(f"{source} does not exist: give a folder that holds one folder of images per class")
    entries = sorted((entry for entry in os.scandir(source) if not entry.name.startswith(".")), key=_name)
    listing = Listing(classes=[entry.name for entry in entries if entry.is_dir()])
    _check_classes(source, listing.classes)
    for entry in entries:
        if not entry.is_dir():
            _sort_file(listing, source, Path(entry.path), label=None)
    for label, name in enumerate(listing.classes):
        for path in _files_below(source / name):
            _sort_file(listing, source, path, label=label)
    return listing


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _check_classes(source: Path, classes: list[str]) -> None:
    if len(classes) < MIN_CLASSES:
        found = f"only {classes[0]!r}" if classes else "none"
        raise ContainerError(
            f"{source} needs at least {MIN_CLASSES} class folders, found {found}: one folder of images per class"
        )
    for name in classes:
        if not name.isprintable():
            raise ContainerError(f"class folder {name!r} has characters that cannot be printed: rename the folder")


def _files_below(folder: Path) -> list[Path]:
    found = []
    for directory, names, files in os.walk(folder, onerror=_raise):
        names[:] = [name for name in names if not name.startswith(".")]
        found += [Path(directory, name) for name in files if not name.startswith(".")]
    return found


def _raise(error: OSError) -> None:
    """A folder that cannot be read must not pass for an empty one: its images would be missing."""
    raise ContainerError(f"{error.filename} cannot be read: {error.strerror}; make it readable, or remove it")


def _sort_file(listing: Listing, source: Path, path: Path, *, label: int | None) -> None:
    relative = path.relative_to(source).as_posix()
    suffix = path.suffix.lower()
    if suffix not in ACCEPTED_SUFFIXES | OTHER_IMAGE_SUFFIXES:
        listing.ignored.append(relative)
        return
    reason = None
    if suffix in OTHER_IMAGE_SUFFIXES:
        reason = f"{suffix} is not supported: convert it to jpg or png"
    elif label is None:
        reason = "lies outside the class folders"
    elif not relative.isprintable():
        reason = "file name has characters that cannot be printed"
    if reason is None and label is not None:
        listing.items.append(Item(path=relative, label=label))
    else:
        listing.rejections.append(Rejection(path=relative, reason=reason or "", size=_size(path)))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
