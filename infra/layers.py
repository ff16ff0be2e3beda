"""Where the functions' layer lies: built by scripts/build-function-layer at set-up, so that synth needs no network."""

from __future__ import annotations

import hashlib
from pathlib import Path

from infra.environments import ROOT
from infra.errors import InfraError

REQUIREMENTS = ROOT / "functions" / "requirements.txt"
BUILDER = ROOT / "scripts" / "build-function-layer"


def layer_hash() -> str:
    """What the layer's content follows from: the pinned packages with their hashes, and how they are put together."""
    return hashlib.sha256(REQUIREMENTS.read_bytes() + BUILDER.read_bytes()).hexdigest()


def layer_path() -> Path:
    """Where the layer lies once it has been built."""
    return ROOT / ".make" / "layers" / f"{layer_hash()}.zip"


def built_layer() -> Path:
    """The layer's zip; raises InfraError where it has not been built yet."""
    path = layer_path()
    if not path.is_file():
        raise InfraError(f"{path.relative_to(ROOT)}, the functions' layer, is missing: run `make setup`")
    return path
