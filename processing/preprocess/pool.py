"""Converted images waiting for their split, which can only be exact once all of them are known.

A pool is one or more segment files, payloads one after the other, and an entry for every image that was tried. It knows
no classes, labels or splits: these follow from the paths of all pools together.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from common.contract import ContainerError
from common.files import atomic_write
from common.lists import ListRow, read_rows
from preprocess.convert import KEY_BYTES
from preprocess.label import NAMES_FILE
from preprocess.walk import Found, Rejection

INDEX_FILE = "index.jsonl"
VERSION = 2
OTHER_OPEN_FILES = 64
MAX_NAMES_BYTES = 16 * 1024**2


class Entry(NamedTuple):
    """One image that was tried; see `preprocess.convert.Converted` for size, reason, digest, key and look.

    Its payload is ``length`` bytes at ``offset`` of the segment file number ``segment``; ``magic`` tells whether it
    holds RecordIO's magic word where a record has to be split, ``travelled`` whether the payload comes from another
    process, so that it has to be compared with its hash. Of what is not ``tried`` only path and size are known.
    """

    path: str
    size: int
    reason: str = ""
    digest: bytes = b""
    key: bytes = b""
    look: int = -1
    segment: int = -1
    offset: int = 0
    length: int = 0
    magic: bool = False
    travelled: bool = False
    tried: bool = True


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Entries and the segment files that they point into, with what else was found beside the images."""

    entries: list[Entry] = field(default_factory=list)
    segments: list[Path] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    lists: dict[str, list[ListRow]] = field(default_factory=dict)
    names: bytes | None = None


class Payloads:
    """Reads payloads of a pool; a context manager that closes the segment files."""

    def __init__(self, segments: Sequence[Path]) -> None:
        self._segments = segments
        self._open: dict[int, int] = {}

    def __enter__(self) -> Payloads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def read(self, entry: Entry) -> bytes:
        """Return an entry's payload; ContainerError where the segment file does not hold what its entry says."""
        if entry.segment not in self._open:
            self._open[entry.segment] = self._open_segment(entry.segment)
        payload = os.pread(self._open[entry.segment], entry.length, entry.offset)
        if len(payload) != entry.length:
            raise ContainerError(f"{self._segments[entry.segment]} is cut off: pack the images again")
        if entry.travelled and not _is_unchanged(payload, entry):
            raise ContainerError(f"{self._segments[entry.segment]} is damaged at {entry.path}: pack the images again")
        return payload

    def _open_segment(self, number: int) -> int:
        try:
            return os.open(self._segments[number], os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ContainerError(f"{self._segments[number]} is missing: pack the images again") from None


def _is_unchanged(payload: bytes, entry: Entry) -> bool:
    """Compare a payload with its hash: it is the file itself, or what it was encoded to."""
    digest = hashlib.sha256(payload).digest()
    return entry.digest == digest or entry.key == digest[:KEY_BYTES]


def segment_path(folder: Path, number: int) -> Path:
    """Return the path of the segment file that worker ``number`` writes."""
    return folder / f"payloads-{number}.bin"


def clear_pool(folder: Path) -> None:
    """Remove what lies in ``folder`` of an earlier pool; the index first, so that the rest does not pass for whole."""
    (folder / INDEX_FILE).unlink(missing_ok=True)
    for pattern in ("payloads-*.bin", f".{INDEX_FILE}.*.partial"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def side_files(source: Path, found: Found) -> tuple[dict[str, list[ListRow]], bytes | None]:
    """Return the lists in ``source`` by name, and the bytes of its labels.json, of which lists make use."""
    return {name: read_rows(source / name) for name in found.lists}, _read_names(source / NAMES_FILE)


def _read_names(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        names = file.read(MAX_NAMES_BYTES + 1)
    if len(names) > MAX_NAMES_BYTES:
        raise ContainerError(f"{path} has more than {MAX_NAMES_BYTES} bytes: it is to be a list of class names")
    return names


def write_pool(folder: Path, pool: Pool, *, host: str, hosts: Sequence[str], fingerprint: str) -> None:
    """Write the index of a pool whose segments lie in ``folder``; the index comes last and so says that it is whole.

    ``fingerprint`` names the settings that all shards of one data set must share. After an error nothing of the pool is
    left.
    """
    try:
        _write_index(folder, pool, _head(pool, host=host, hosts=hosts, fingerprint=fingerprint))
    except BaseException:
        clear_pool(folder)
        raise


def _head(pool: Pool, *, host: str, hosts: Sequence[str], fingerprint: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "host": host,
        "hosts": list(hosts),
        "settings": fingerprint,
        "entries": len(pool.entries),
        "segments": [path.name for path in pool.segments],
        "rejections": [[rejection.path, rejection.reason, rejection.size] for rejection in pool.rejections],
        "ignored": pool.ignored,
        "lists": {name: [[row.id, list(row.labels), row.path] for row in rows] for name, rows in pool.lists.items()},
        "names": None if pool.names is None else pool.names.hex(),
    }


def _write_index(folder: Path, pool: Pool, head: dict[str, Any]) -> None:
    with atomic_write(folder / INDEX_FILE, "w") as file:
        file.write(json.dumps(head) + "\n")
        for entry in pool.entries:
            row = [value.hex() if isinstance(value, bytes) else value for value in entry]
            file.write(json.dumps(row) + "\n")


def read_pools(folder: Path, *, fingerprint: str) -> Pool:
    """Return all shards below ``folder`` as one pool, whatever the order in which they lie there.

    ContainerError where a shard is missing, damaged, or was packed with other settings.
    """
    shards = [_read_shard(index, fingerprint) for index in sorted(folder.glob(f"*/{INDEX_FILE}"))]
    hosts = {host for shard in shards for host in shard.hosts}
    missing = hosts - {shard.host for shard in shards}
    if missing or not shards:
        raise ContainerError(
            f"{folder} lacks the shard of {', '.join(sorted(missing)) or 'every instance'}: run the Pack step again"
        )
    if any(set(shard.hosts) != hosts for shard in shards) or len({shard.host for shard in shards}) != len(shards):
        raise ContainerError(f"{folder} holds shards of several runs: run the Pack step again, into an empty folder")
    _allow_open_files(sum(len(shard.pool.segments) for shard in shards))
    merged = Pool(names=next((shard.pool.names for shard in shards if shard.pool.names is not None), None))
    for shard in shards:
        first = len(merged.segments)
        merged.entries.extend(
            entry._replace(segment=first + entry.segment, travelled=True) for entry in shard.pool.entries
        )
        merged.segments.extend(shard.pool.segments)
        merged.rejections.extend(shard.pool.rejections)
        merged.ignored.extend(shard.pool.ignored)
        merged.lists.update(shard.pool.lists)
    return merged


def _allow_open_files(count: int) -> None:
    """Raise the limit of open files as far as it goes, for every segment is read from beginning to end of a merge."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHER_OPEN_FILES
    if soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


@dataclass(frozen=True, kw_only=True)
class _Shard:
    host: str
    hosts: list[str]
    pool: Pool


def _read_shard(path: Path, fingerprint: str) -> _Shard:
    try:
        with path.open(encoding="utf-8") as file:
            head = json.loads(file.readline())
            entries = [_entry(json.loads(line)) for line in file]
        if head["version"] != VERSION or head["settings"] != fingerprint:
            raise ContainerError(f"{path} was packed with other settings or another version: run the Pack step again")
        if len(entries) != head["entries"]:
            raise ContainerError(f"{path} is cut off: run the Pack step again")
        pool = Pool(
            entries=entries,
            segments=[path.parent / name for name in head["segments"]],
            rejections=[Rejection(path=path_, reason=why, size=size) for path_, why, size in head["rejections"]],
            ignored=head["ignored"],
            lists={
                name: [ListRow(id_, tuple(labels), path_) for id_, labels, path_ in rows]
                for name, rows in head["lists"].items()
            },
            names=None if head["names"] is None else bytes.fromhex(head["names"]),
        )
        return _Shard(host=head["host"], hosts=head["hosts"], pool=pool)
    except (ValueError, KeyError, TypeError) as error:
        raise ContainerError(f"{path} is no index of a packed shard: {error!r}; run the Pack step again") from None


def _entry(row: list[Any]) -> Entry:
    entry = Entry(*row)
    return entry._replace(digest=bytes.fromhex(row[3]), key=bytes.fromhex(row[4]))
