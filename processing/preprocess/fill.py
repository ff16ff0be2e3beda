"""Fills a pool: worker processes convert images and write the payloads, each into a segment file of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from common.recordio import holds_magic, padding
from preprocess.convert import convert, load_codecs, size_of
from preprocess.pool import Entry, clear_pool, segment_path
from preprocess.settings import Settings
from preprocess.workers import in_workers

# Small enough to balance the load and to find an image that ends a worker, large enough to make asking cheap.
IMAGES_AT_A_TIME = 16
GATHERED_BYTES = 4 * 1024**2


class Place(NamedTuple):
    """Where an image's record is to be written straight away, if its payload has the expected length in bytes.

    ``file`` is the planned file's number, ``offset`` the record's, ``head`` what stands before the payload.
    """

    file: int
    offset: int
    head: bytes
    length: int


def fill(
    source: Path,
    paths: Sequence[str],
    settings: Settings,
    *,
    folder: Path,
    planned: Sequence[Path] = (),
    places: Sequence[Place] = (),
) -> tuple[list[Entry], list[Path]]:
    """Try the images at ``paths`` below ``source``; returns their entries in order, and the segment files.

    Segments 0 to n-1 are the existing files ``planned``, in which every image with a place is written there if it
    turns out as expected; the others are new files in ``folder``, where they take the place of an earlier pool.
    """
    clear_pool(folder)
    if not settings.pass_through:
        load_codecs()  # here, once, and not in every worker

    def begin(number: int) -> Callable[[int, int], list[Entry]]:
        return _Filler(
            source, paths, settings, segment_path(folder, number), len(planned) + number, planned, places
        ).work

    def crashed(position: int, how: str) -> Entry:
        hint = " (out of memory?)" if how == "SIGKILL" else ""
        reason = f"reading it ended the process with {how}{hint}"
        return Entry(path=paths[position], size=size_of(f"{source}/{paths[position]}"), reason=reason)

    try:
        entries = in_workers(begin, len(paths), workers=settings.workers, chunk=IMAGES_AT_A_TIME, crashed=crashed)
    except BaseException:
        clear_pool(folder)
        raise
    own = max((entry.segment for entry in entries), default=-1) + 1 - len(planned)
    return entries, [*planned, *(segment_path(folder, number) for number in range(own))]


class _Filler:
    """What one worker does; it opens its files itself, so that none is shared with another worker."""

    def __init__(
        self,
        source: Path,
        paths: Sequence[str],
        settings: Settings,
        segment: Path,
        number: int,
        planned: Sequence[Path],
        places: Sequence[Place],
    ) -> None:
        self._source, self._paths, self._settings = os.fspath(source), paths, settings
        self._number, self._places = number, places
        self._own = GatheringFile(segment, os.O_CREAT | os.O_TRUNC)
        self._planned = [GatheringFile(path, 0, sync_soon=True) for path in planned]
        self._end = 0

    def work(self, start: int, stop: int) -> list[Entry]:
        entries = []
        for position in range(start, stop):
            path = self._paths[position]
            try:
                entries.append(self._store(position, path))
            except MemoryError:
                os.kill(os.getpid(), signal.SIGKILL)  # as the system does where it notices first
            except RecursionError:
                size = size_of(f"{self._source}/{path}")
                entries.append(Entry(path=path, size=size, reason="reading it goes too deep (RecursionError)"))
        for file in (self._own, *self._planned):
            file.flush()
        return entries

    def _store(self, position: int, path: str) -> Entry:
        size, reason, payload, digest, key, look = convert(f"{self._source}/{path}", self._settings)
        if reason:
            return Entry(path=path, size=size, reason=reason)
        magic, length = holds_magic(payload), len(payload)
        place = self._places[position] if self._places else None
        if place is not None and place.length == length and not magic:
            self._planned[place.file].write(place.offset, place.head, payload, padding(length))
            segment, offset = place.file, place.offset + len(place.head)
        else:
            self._own.write(self._end, payload)
            segment, offset = self._number, self._end
            self._end += length
        return Entry(path, size, "", digest, key, look, segment, offset, length, magic)


class GatheringFile:
    """A file that is written at given offsets; what follows on each other goes out in one system call.

    ``sync_soon`` has the system write the data to disk while the work goes on, so that the sync at the end is short.
    """

    def __init__(self, path: Path, flags: int, *, sync_soon: bool = False) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o666)
        self._sync_soon = sync_soon
        self._start = self._end = 0
        self._buffers: list[bytes] = []

    def write(self, offset: int, *buffers: bytes) -> None:
        """Write ``buffers`` one after the other from ``offset`` on."""
        if offset != self._end or self._end - self._start > GATHERED_BYTES:
            self.flush()
            self._start = self._end = offset
        self._buffers.extend(buffers)
        self._end += sum(map(len, buffers))

    def flush(self) -> None:
        """Write what has been gathered; OSError names the file."""
        if not self._buffers:
            return
        try:
            written = os.pwritev(self._file, self._buffers, self._start)
            if written < self._end - self._start:  # a nearly full disk takes a part; writing the rest says so
                rest = memoryview(b"".join(self._buffers))[written:]
                while rest:
                    more = os.pwrite(self._file, rest, self._end - len(rest))
                    rest = rest[more:]
            if self._sync_soon:
                # Linux begins to write the range back; nothing of it is dropped, for all of it is still dirty.
                os.posix_fadvise(self._file, self._start, self._end - self._start, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            error.filename = os.fspath(self._path)
            raise
        finally:
            self._buffers = []
            self._start = self._end
