"""Inputs that name their objects in a manifest: S3DataType ManifestFile."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from local.errors import LocalRunError
from local.storage import Store, split_uri

MANIFEST_FILE = "ManifestFile"


def download_manifest(store: Store, uri: str, directory: Path) -> int:
    """Brings the objects that the manifest at `uri` names below `directory`, by their keys after its prefix.

    Returns how many. Raises LocalRunError for a malformed manifest, one that names nothing or leads out of the
    directory. The form is S3DataSource's in the API reference: a prefix, then keys relative to it.
    """
    bucket, prefix, relatives = _read(store, uri)
    for relative in relatives:
        if ".." in relative.split("/"):
            raise LocalRunError(f"{uri}: {relative} leads out of the input's directory: rename the object")
        path = directory / relative.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if next(iter(store.keys(bucket, prefix + relative)), None) is None:
            raise LocalRunError(f"{uri} names s3://{bucket}/{prefix}{relative}, which does not exist")
        store.copy_out(bucket, prefix + relative, path)
    return len(relatives)


def _read(store: Store, uri: str) -> tuple[str, str, list[str]]:
    bucket, key = split_uri(uri)
    with tempfile.TemporaryDirectory(prefix="imgpipe-manifest-") as folder:
        path = Path(folder) / "manifest"
        store.copy_out(bucket, key, path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            start, relatives = str(content[0]["prefix"]), [str(item) for item in content[1:]]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise LocalRunError(f"{uri} is no manifest: it must begin with a prefix ({error!r})") from error
    if not relatives:
        raise LocalRunError(f"{uri} names no object: a job's input must not be empty")
    holder, _, prefix = start.removeprefix("s3://").partition("/")
    return holder, prefix, relatives
