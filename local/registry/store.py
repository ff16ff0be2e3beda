"""The files of a local registry: one folder a version, holding the request that made it and the objects it names.

<home>/registry/<environment>/000003/package.json     schema_version, version, arn, created, approval_status, ...
<home>/registry/<environment>/000003/objects/<key>    what lies below the version's prefix of the artifact bucket
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from local.errors import LocalRunError
from local.files import locked, remove_tree, sync_tree, write_whole
from local.program import hint

SCHEMA_VERSION: Final = 1
# So many of the newest versions, and of the newest approved ones, keep their objects; of older ones the record stays.
KEPT_VERSIONS: Final = 10
_RECORD, _OBJECTS, _STAGING = "package.json", "objects", ".new-"
APPROVED: Final = "Approved"


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """A registered version; `request` are the arguments of CreateModelPackage, `bucket` the artifact bucket's name."""

    version: int
    arn: str
    created: datetime
    approval_status: str
    bucket: str
    request: Mapping[str, Any]
    directory: Path

    @property
    def objects(self) -> Path:
        """The folder of its objects, each at its key; it is gone where newer versions have taken their place."""
        return self.directory / _OBJECTS

    def as_json(self) -> bytes:
        """The content of package.json."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "version": self.version,
            "arn": self.arn,
            "created": self.created.isoformat(),
            "approval_status": self.approval_status,
            "bucket": self.bucket,
            "request": self.request,
        }
        return f"{json.dumps(content, indent=2)}\n".encode()


class RegistryStore:
    """The versions of one environment. Reading needs no lock; whoever writes, or reads objects, holds it."""

    def __init__(self, home: Path, environment: str) -> None:
        self.directory = home / "registry" / environment

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out while open; a run that was killed holds nothing."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory / ".lock"):
            yield

    def versions(self) -> list[StoredVersion]:
        """All versions, oldest first; raises LocalRunError for one of an unknown format."""
        return [_read(path.parent) for path in sorted(self.directory.glob(f"[0-9]*/{_RECORD}"))]

    def version(self, number: int) -> StoredVersion:
        """One version; raises LocalRunError naming those that there are."""
        known = {item.version: item for item in self.versions()}
        if number not in known:
            there = f"it has {', '.join(map(str, known))}" if known else f"it has none: run `{hint('run')}` first"
            raise LocalRunError(f"the local registry has no version {number}: {there}")
        return known[number]

    def add(
        self,
        *,
        version: int,
        arn: str,
        created: datetime,
        approval_status: str,
        bucket: str,
        request: Mapping[str, Any],
        write_objects: Callable[[Path], None],
    ) -> StoredVersion:
        """Adds a version; `write_objects` fills the folder that it gets. Call it with the lock held."""
        for abandoned in self.directory.glob(f"{_STAGING}*"):
            shutil.rmtree(abandoned)  # of a run that was killed
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.directory))
        stored = StoredVersion(
            version=version,
            arn=arn,
            created=created,
            approval_status=approval_status,
            bucket=bucket,
            request=request,
            directory=self.directory / f"{version:06}",
        )
        try:
            (staging / _OBJECTS).mkdir()
            write_objects(staging / _OBJECTS)
            (staging / _RECORD).write_bytes(stored.as_json())
            sync_tree(staging)
            staging.rename(stored.directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # gone already where it has its name
        self._make_room()
        return stored

    def set_approval(self, number: int, status: str) -> StoredVersion:
        """Approves or rejects a version; raises LocalRunError where it cannot be used any more."""
        with self.locked():
            stored = self.version(number)
            if status == APPROVED and not stored.objects.is_dir():
                raise LocalRunError(
                    f"version {number} has lost its files to newer versions (the newest {KEPT_VERSIONS} keep theirs): "
                    "train it again"
                )
            changed = StoredVersion(**{**vars(stored), "approval_status": status})
            write_whole(stored.directory / _RECORD, changed.as_json())
            return changed

    def _make_room(self) -> None:
        for abandoned in self.directory.glob("[0-9]*/.removed-*"):
            shutil.rmtree(abandoned)
        versions = self.versions()
        approved = [item for item in versions if item.approval_status == APPROVED]
        kept = {item.version for item in [*versions[-KEPT_VERSIONS:], *approved[-KEPT_VERSIONS:]]}
        for item in versions:
            if item.version not in kept and item.objects.is_dir():
                remove_tree(item.objects)


def _read(directory: Path) -> StoredVersion:
    path = directory / _RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content.pop("schema_version")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise LocalRunError(f"{path} is damaged: {_way_out(directory)}") from error
    if schema != SCHEMA_VERSION:
        raise LocalRunError(f"{path} has format {schema}, this imgpipe knows {SCHEMA_VERSION}: {_way_out(directory)}")
    try:
        return StoredVersion(
            **{**content, "created": datetime.fromisoformat(content["created"]), "directory": directory}
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LocalRunError(f"{path} is damaged: {_way_out(directory)}") from error


def _way_out(directory: Path) -> str:
    return f"remove {directory.parent} to start with an empty registry"
