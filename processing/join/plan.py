"""Reads what the pipeline's first step planned: the images, in the order of their keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.contract import ContainerError

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Image:
    """An object of the input: its key relative to `input_uri`, its size in bytes, why it was skipped or None."""

    key: str
    size: int
    skipped: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was planned; `input_uri` ends in a slash."""

    input_uri: str
    listing_hash: str
    model_version: str
    model_package_arn: str
    listing: Path

    def images(self) -> Iterator[Image]:
        """Every object of the input, read anew each time: there may be a million."""
        with self.listing.open(encoding="utf-8") as lines:
            for line in lines:
                content = json.loads(line)
                yield Image(key=content["key"], size=content["size"], skipped=content["skipped"])


def read_plan(directory: Path) -> Plan:
    """Read plan.json and find listing.jsonl beside it; raise ContainerError where they are not of this format."""
    path = directory / "plan.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("schema_version") != SCHEMA_VERSION:
        raise ContainerError(f"{path} has format {content.get('schema_version')}, this program knows {SCHEMA_VERSION}")
    return Plan(
        input_uri=content["input_uri"],
        listing_hash=content["listing_hash"],
        model_version=content["model_version"],
        model_package_arn=content["model_package_arn"],
        listing=directory / "listing.jsonl",
    )
