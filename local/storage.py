"""Moves files between directories and S3, as SageMaker does around a container."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from local.errors import LocalRunError


class Store(Protocol):
    """Buckets with objects, see local.emulator.objects."""

    def put(self, bucket: str, key: str, path: Path) -> None:
        """Stores the file `path`."""
        ...

    def keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """All keys that begin with `prefix`."""
        ...

    def copy_out(self, bucket: str, key: str, path: Path) -> None:
        """Writes an object to `path`."""
        ...


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key or prefix of an s3:// URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket:
        raise LocalRunError(f"{uri!r} is not an S3 URI: it must look like s3://bucket/prefix")
    return bucket, key


def download(store: Store, uri: str, directory: Path, *, share: tuple[int, int] = (0, 1)) -> int:
    """Brings an object or all objects of a prefix below `directory` and returns how many.

    A prefix is text, as S3 compares it: `cats` takes `cats-old/` too. Raises LocalRunError where there is no object,
    as a SageMaker job fails for an empty input, and for a key that leads out of `directory`. With `share` (k, n) only
    the k-th of n shares, numbered from 0, none of which has more than one object more than another; it may have none.
    """
    bucket, prefix = split_uri(uri)
    # A key that ends in a slash is the console's marker of an empty folder.
    keys = sorted(key for key in store.keys(bucket, prefix) if not key.endswith("/"))
    if not keys:
        raise LocalRunError(f"{uri} holds no object: a job's input must not be empty")
    directory.mkdir(parents=True, exist_ok=True)
    number, shares = share
    dealt = keys[number::shares]
    for key in dealt:
        relative = key[len(prefix) :].lstrip("/") or key.rsplit("/", 1)[-1]
        if ".." in relative.split("/"):
            raise LocalRunError(f"s3://{bucket}/{key} leads out of the input's directory: rename the object")
        path = directory / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        store.copy_out(bucket, key, path)
    return len(dealt)


def upload(store: Store, directory: Path, uri: str, *, files: Iterable[Path] | None = None) -> int:
    """Stores `files` (default: every file) of `directory` under `uri` and returns how many."""
    bucket, _ = split_uri(uri)
    count = 0
    for key, path in destinations(directory, uri, files=files):
        store.put(bucket, key, path)
        count += 1
    return count


def destinations(directory: Path, uri: str, *, files: Iterable[Path] | None = None) -> Iterator[tuple[str, Path]]:
    """The key under which `upload` stores each file, and the file."""
    _, prefix = split_uri(uri)
    for path in all_files(directory) if files is None else files:
        relative = path.relative_to(directory).as_posix()
        yield f"{prefix.rstrip('/')}/{relative}".lstrip("/"), path


def all_files(directory: Path, *, hidden: bool = True) -> Iterator[Path]:
    """Every file below `directory` in sorted order, through links to folders too, each folder entered once.

    Without `hidden`, names that begin with a dot are left out, whatever lies below them included.
    """
    entered: set[str] = set()
    for place, folders, names in os.walk(directory, followlinks=True, onerror=_raise):
        entered.add(os.path.realpath(place))
        folders[:] = sorted(
            name
            for name in folders
            if (hidden or not name.startswith(".")) and os.path.realpath(Path(place, name)) not in entered
        )
        for name in sorted(names):
            path = Path(place, name)
            if (hidden or not name.startswith(".")) and path.is_file():
                yield path


def read_text(s3: Any, uri: str) -> str:
    """The text of one object, through a boto3 client; raises LocalRunError where there is none or it is no text."""
    bucket, key = split_uri(uri)
    try:
        return str(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())
    except s3.exceptions.NoSuchKey as error:
        raise LocalRunError(f"{uri} does not exist: the step that should have written it did not") from error
    except UnicodeDecodeError as error:
        raise LocalRunError(f"{uri} is not UTF-8 text") from error


def _raise(error: OSError) -> None:
    """A folder that cannot be read must not pass for an empty one: its class would be missing."""
    raise error
