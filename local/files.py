"""Files that a reader sees whole or not at all: written beside, synced, renamed."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.errors import LocalRunError


def write_whole(path: Path, content: bytes) -> None:
    """Writes beside `path` and renames, once all is safe on the disk."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_tree(directory: Path) -> None:
    """Waits until all files and folders below `directory` are safe on the disk; it may be renamed then."""
    for path in [*directory.rglob("*"), directory]:
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def locked(path: Path, *, busy: str | None = None) -> Iterator[None]:
    """Keeps other processes and threads that lock `path` out while open; who is killed holds nothing.

    Waits for its turn; with `busy`, raises LocalRunError of this text instead.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise LocalRunError(busy or "") from None
        yield


def remove_tree(directory: Path) -> None:
    """Removes a directory so that nobody finds half of it: it gets another name first."""
    doomed = directory.with_name(f".removed-{directory.name}")
    shutil.rmtree(doomed, ignore_errors=True)  # of one who was killed at it
    directory.rename(doomed)
    shutil.rmtree(doomed)
