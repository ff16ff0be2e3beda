"""Files that appear whole or not at all: written beside their target, synced, renamed."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any


class _NamingFile(io.FileIO):
    """A raw file whose write errors name the file that was meant, so that a full disk can be reported."""

    def __init__(self, temporary: Path, *, target: Path) -> None:
        super().__init__(os.fspath(temporary), "w")
        self._target = target

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = os.fspath(self._target)
            raise


class AtomicFiles:
    """A group of new files and folders that take their names together when the ``with`` block ends without an error.

    After an error none of them is left: neither the temporary ones nor those that were already renamed. Should a signal
    come once the last has its name, they stay.
    """

    def __init__(self) -> None:
        self._open: list[tuple[IO[bytes], Path]] = []
        self._renames: list[tuple[Path, Path]] = []

    def __enter__(self) -> AtomicFiles:
        return self

    def open(self, path: Path) -> IO[bytes]:
        """Return a binary file that becomes ``path``; the directory is made where it is missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
        file = io.BufferedWriter(_NamingFile(temporary, target=path), buffer_size=1 << 20)
        self._open.append((file, path))
        self._renames.append((temporary, path))
        return file

    def adopt(self, temporary: Path, path: Path) -> None:
        """Make an existing file or folder, in the same file system, become ``path``, or vanish, with the others."""
        if temporary.is_dir():
            os.sync()  # one call for all files in it; a sync of each takes longer than writing them
        else:
            self._open.append((io.BufferedWriter(io.FileIO(os.fspath(temporary), "r+")), path))
        self._renames.append((temporary, path))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        begun: list[tuple[Path, Path]] = []
        try:
            if error is None:
                self.sync()
                for temporary, path in self._renames:
                    if temporary.is_dir() and path.is_dir():
                        _remove(path)  # unlike a file, a folder cannot take the place of another one
                    begun.append((temporary, path))
                    temporary.replace(path)
        finally:
            self._discard()
            left = [temporary for temporary, _ in self._renames if os.path.lexists(temporary)]
            renamed = [path for temporary, path in begun if temporary not in left]
            for path in (*renamed, *left) if left else ():
                _remove(path)

    def sync(self) -> None:
        """Close all files after bringing them to disk; then only the renames are left to do."""
        for file, target in self._open:
            file.flush()
            try:
                os.fsync(file.fileno())
            except OSError as error:
                error.filename = os.fspath(target)
                raise
            file.close()
        self._open.clear()

    def _discard(self) -> None:
        """Close all files; what cannot be flushed any more is thrown away with the file."""
        for file, _ in self._open:
            try:
                file.close()
            except OSError:
                file.raw.close()  # type: ignore[attr-defined]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Give a file that becomes ``path`` when the block ends; ``mode`` is "wb" or "w" (UTF-8, newlines kept)."""
    if mode not in {"wb", "w"}:
        raise ValueError(f"mode must be 'wb' or 'w', got {mode!r}")
    with AtomicFiles() as files:
        binary = files.open(Path(path))
        if mode == "wb":
            yield binary
        else:
            text = io.TextIOWrapper(binary, encoding="utf-8", newline="", write_through=True)
            yield text
            text.detach()


def json_bytes(value: Any) -> bytes:
    """Encode ``value`` as this project writes JSON: sorted keys, indent 2, UTF-8, trailing newline, never NaN."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as json_bytes defines it."""
    content = json_bytes(value)
    with atomic_write(path) as file:
        file.write(content)
