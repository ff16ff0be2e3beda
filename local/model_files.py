"""Models on this machine as parameters: a local model.tar.gz is uploaded, and its URI takes the path's place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from local.errors import LocalRunError
from local.storage import Store

PARAMETERS: Final = ("BaseModelUri", "PretrainedModelUri")
_SUFFIX: Final = ".tar.gz"
_DIGITS: Final = 12


def upload_model_files(
    store: Store, given: Mapping[str, str], *, defaults: Mapping[str, Any], bucket: str
) -> dict[str, str]:
    """The given parameters, with an s3:// URI for each of PARAMETERS that names a file of this machine.

    `defaults` are the declared parameters with their defaults: a default that is no URI, as `latest-approved`, is no
    path. Raises LocalRunError for a file that is none or does not end in .tar.gz.
    """
    replaced = dict(given)
    for name in PARAMETERS:
        value = given.get(name)
        if value is None or name not in defaults or value == defaults[name] or value.startswith("s3://"):
            continue
        replaced[name] = _upload(store, name, Path(value).expanduser(), bucket, defaults[name])
    return replaced


def _upload(store: Store, name: str, path: Path, bucket: str, default: Any) -> str:
    ways = "give an s3:// URI or a file that ends in .tar.gz" + (f", or {default}" if default else "")
    if not path.exists():
        raise LocalRunError(f"parameter {name}: {path} does not exist: {ways}")
    if not path.is_file():
        raise LocalRunError(f"parameter {name}: {path} is not a file: {ways}")
    if not path.name.endswith(_SUFFIX):
        raise LocalRunError(f"parameter {name}: {path} does not end in {_SUFFIX}: {ways}")
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    key = f"pretrained/{digest.hexdigest()[:_DIGITS]}/model.tar.gz"
    store.put(bucket, key, path.resolve())
    return f"s3://{bucket}/{key}"
