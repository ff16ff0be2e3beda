"""The artifact bucket as this function sees it: it lists much, reads one object, and writes manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Artifacts:
    """A client of S3, the bucket, and the endpoint whose files in it count."""

    s3: Any
    bucket: str
    endpoint: str

    def uri(self, key: str) -> str:
        """The URI of a key, or of the bucket's start for an empty one."""
        return f"s3://{self.bucket}/{key}"

    def objects(self, prefix: str, *, after: str = "") -> Iterator[dict[str, Any]]:
        """Yields the objects below a prefix by key, those with a key greater than `after`; empty ones are none."""
        start = {"StartAfter": after} if after else {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, **start):
            yield from (item for item in page.get("Contents", []) if item["Size"])

    def keys(self, prefix: str) -> list[str]:
        """The keys of the objects below a prefix."""
        return [item["Key"] for item in self.objects(prefix)]

    def newest(self, prefix: str, most: int) -> list[str]:
        """The keys of the `most` objects below a prefix that were written last, the oldest of them first."""
        found = sorted(self.objects(prefix), key=lambda item: (item["LastModified"], item["Key"]))
        return [item["Key"] for item in found[-most:]]

    def write(self, key: str, content: Any) -> None:
        """Writes an object as JSON."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(content).encode())
