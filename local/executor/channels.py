"""The channels of a training job: brought to where its container looks for them, and described to it."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from local.errors import LocalRunError
from local.storage import Store, all_files, download

_FAST: Final = "FastFile"
_MODES: Final = ("File", _FAST)
_PREFIX: Final = "S3Prefix"
_SHARDED: Final = "ShardedByS3Key"


def refuse_channels(arguments: Mapping[str, Any]) -> None:
    """Raises LocalRunError naming the first channel of a kind that a local run does not bring.

    Takes the arguments of a training job as the definition states them too: an expression is left for later.
    """
    specification = arguments.get("AlgorithmSpecification", {})
    for channel in arguments.get("InputDataConfig", []):
        name = channel["ChannelName"]
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise LocalRunError(f"channel {name}: only S3DataSource can be brought here, not {_one(channel)}")
        kind = source.get("S3DataType", _PREFIX)
        if isinstance(kind, str) and kind != _PREFIX:
            raise LocalRunError(
                f"channel {name}: a {kind} is not read by a local run: use {_PREFIX}, that is RecordIO or image files"
            )
        mode = _mode(channel, specification)
        if isinstance(mode, str) and mode not in _MODES:
            raise LocalRunError(f"channel {name}: input mode {mode} is not run here: use {' or '.join(_MODES)}")


def bring_channels(
    store: Store, arguments: Mapping[str, Any], directory: Path, *, share: tuple[int, int] = (0, 1)
) -> None:
    """Downloads every channel below `directory`; `share` (k, n) deals the objects of a sharded channel out."""
    for channel in arguments.get("InputDataConfig", []):
        source = channel["DataSource"]["S3DataSource"]
        place = directory / channel["ChannelName"]
        sharded = source.get("S3DataDistributionType") == _SHARDED
        download(store, source["S3Uri"], place, share=share if sharded else (0, 1))
        if _mode(channel, arguments["AlgorithmSpecification"]) == _FAST:
            _make_read_only(place)


def described(arguments: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The content of inputdataconfig.json, as the service writes it."""
    return {
        channel["ChannelName"]: {
            "ContentType": channel.get("ContentType", ""),
            "TrainingInputMode": _mode(channel, arguments["AlgorithmSpecification"]),
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        for channel in arguments.get("InputDataConfig", [])
    }


def _mode(channel: Mapping[str, Any], specification: Mapping[str, Any]) -> Any:
    return channel.get("InputMode", specification.get("TrainingInputMode", "File"))


def _one(channel: Mapping[str, Any]) -> str:
    kinds: Sequence[str] = list(channel["DataSource"])
    return kinds[0] if kinds else "nothing"


def _make_read_only(directory: Path) -> None:
    """FastFile streams from S3: what the container writes there would not be kept, so it may not."""
    for path in all_files(directory):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
