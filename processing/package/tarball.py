"""model.tar.gz with equal bytes for equal content."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from typing import IO

# Weights hardly shrink: the highest level takes several times as long for a thousandth of the size.
LEVEL = 6


def write_tarball(target: IO[bytes], files: Mapping[str, bytes]) -> None:
    """Write a gzip-compressed tar of ``files`` by name: sorted, owned by root, readable by all, without times."""
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=LEVEL, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(files[name]))
