"""Paths inside a container, which a local run has below the container's root."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from local.errors import LocalRunError

_CONTAINER_ROOT: Final = "/opt/ml/"


def below_root(path: str) -> Path:
    """A path inside the container relative to its root, the only place that the two share."""
    relative = Path(path.removeprefix(_CONTAINER_ROOT))
    if not path.startswith(_CONTAINER_ROOT) or ".." in relative.parts:
        raise LocalRunError(f"local path {path} is not below {_CONTAINER_ROOT}: only what lies there can be exchanged")
    return relative
