"""Objects of the emulated S3 whose bytes stay in files: the way in and out that the service itself uses around a job.

A request through boto3 costs milliseconds and keeps the bytes in memory; a data set is many files. Clients see these
objects like any other.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moto.s3.exceptions import MissingBucket
from moto.s3.models import FakeKey, s3_backends
from moto.utilities.utils import get_partition

from local.errors import LocalRunError

_BLOCK_BYTES = 2**20


class StoredFile(FakeKey):  # type: ignore[misc]  # moto comes without types here
    """An object that reads its bytes from `path`, which must stay as it is."""

    disposed = True  # there is no buffer to close, not even where the file turns out to be unreadable

    def __init__(self, *, path: Path, **fields: Any) -> None:
        self.path = path
        super().__init__(value=b"", etag=_md5(path), **fields)

    @property
    def value(self) -> bytes:
        """The bytes, read anew each time."""
        return self.path.read_bytes()

    @value.setter
    def value(self, _: bytes) -> None:
        self.contentsize = self.path.stat().st_size


class ObjectStore:
    """Puts files into buckets and copies objects out of them; raises LocalRunError for an unknown bucket."""

    def __init__(self, *, account: str, region: str) -> None:
        self._backend = s3_backends[account][get_partition(region)]
        self._account, self._region = account, region

    def put(self, bucket: str, key: str, path: Path) -> None:
        """Stores the file `path`, which is not copied."""
        holder = self._bucket(bucket)
        stored = StoredFile(
            path=path,
            name=key,
            bucket_name=bucket,
            account_id=self._account,
            region_name=self._region,
            is_versioned=holder.is_versioned,
            version_id=str(uuid.uuid4()) if holder.is_versioned else "null",
        )
        earlier = holder.keys.getlist(key, []) if holder.is_versioned else []
        holder.keys.setlist(key, [*earlier, stored])

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`, as S3 compares them, which knows no folders."""
        for key, stored in list(self._bucket(bucket).keys.items()):
            if key.startswith(prefix) and isinstance(stored, FakeKey):  # else it is a delete marker
                yield key

    def copy_out(self, bucket: str, key: str, path: Path) -> None:
        """Writes an object to `path`."""
        stored = self._bucket(bucket).keys[key]
        if isinstance(stored, StoredFile):
            shutil.copyfile(stored.path, path)
        else:
            path.write_bytes(stored.value)

    def _bucket(self, name: str) -> Any:
        try:
            return self._backend.get_bucket(name)
        except MissingBucket as error:
            raise LocalRunError(f"bucket {name} does not exist in the deployed environment") from error


def _md5(path: Path) -> str:
    """The ETag of an object that was put in one piece."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
