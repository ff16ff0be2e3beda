"""Names of image files that every reader of lists and manifests can use, made of the paths of their originals."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

SUFFIXES = {"jpg": (".jpg", ".jpeg"), "png": (".png",)}
PNG_START = b"\x89PNG"
LONGEST_NAME = 255  # bytes, of most file systems
DIGEST_LENGTH = 8
# What a reader of lists might take for an escape of a tab or line break, see `common.lists`.
_CODE = re.compile(r"%(?=25|09|0A|0D)")


class ImageNames:
    """Gives each image of one split a name of its own: relative, UTF-8, printable, and with the suffix of its format.

    ``paths`` are the originals' paths, all of the split: a file may not be called like a folder of another.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._taken = {str(folder) for path in paths for folder in PurePosixPath(_readable(path)).parents}

    def name(self, path: str, payload: bytes) -> str:
        """Return the name for the image made of the file at ``path``; calls in the same order give the same names."""
        suffixes = SUFFIXES["png" if payload.startswith(PNG_START) else "jpg"]
        readable = _readable(path)
        stem, suffix = os.path.splitext(readable)  # noqa: PTH122
        if suffix.lower() not in suffixes:
            stem, suffix = readable, suffixes[0]
        stem = _shortened(stem, suffix, path)
        name, number = f"{stem}{suffix}", 1
        while name in self._taken:
            name = f"{stem}-{number}{suffix}"
            number += 1
        self._taken.add(name)
        return name


def _readable(path: str) -> str:
    """Return a path in which all that is no text, cannot be printed or means something else in a list is ``_``."""
    return _CODE.sub("_", "".join(character if character.isprintable() else "_" for character in path))


def _shortened(stem: str, suffix: str, path: str) -> str:
    """Return the stem, or the part of it for which there is room, with a digest of the path that tells it apart."""
    folder, slash, name = stem.rpartition("/")
    room = LONGEST_NAME - len(suffix) - DIGEST_LENGTH  # what a number needs is in the digest's room
    encoded = name.encode()
    if len(encoded) <= room:
        return stem
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:DIGEST_LENGTH]
    kept = encoded[: room - DIGEST_LENGTH - 1].decode(errors="ignore")
    return f"{folder}{slash}{kept}-{digest}"
