"""What all workloads share: the images, the contestants, how many of what, and folders that go at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import pictures
from benchmarks.contestants import Im2rec, Imgpipe
from benchmarks.measure import BenchmarkError

SHORT_SIDE = 256
_DISK_MARGIN = 2 * 1024**3


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many images each workload has; ``limit_seconds`` is the length of one loop."""

    photos: int = 1000
    large: int = 96
    large_distinct: int = 24
    pass_through: Sequence[int] = (1000, 20_000)
    limit: int = 5000
    limit_seconds: float = 3.0
    scale: Sequence[int] = (1000, 10_000, 100_000)
    quality_large: int = 8


QUICK = Sizes(
    photos=40,
    large=4,
    large_distinct=1,
    pass_through=(40,),
    limit=40,
    limit_seconds=0.2,
    scale=(20, 40, 80),
    quality_large=0,
)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all workloads share. ``peers`` begins with the installed OpenCV; an older one may follow."""

    base: pictures.Base
    scratch: Path
    rounds: int
    sizes: Sizes
    ours: Imgpipe
    peers: Sequence[Im2rec]
    try_threads: bool = True


@contextmanager
def image_folder(bench: Bench, files: Sequence[bytes], count: int) -> Iterator[Path]:
    """Write ``count`` distinct files, which go at the end; BenchmarkError where the disk cannot hold them twice."""
    _check_disk(bench.scratch, 2 * count * sum(map(len, files)) // len(files))
    with tempfile.TemporaryDirectory(dir=bench.scratch, prefix="images-") as place:
        yield pictures.write_folder(Path(place) / "source", files, count)


def _check_disk(scratch: Path, needed: int) -> None:
    free = shutil.disk_usage(scratch).free
    if free < needed + _DISK_MARGIN:
        raise BenchmarkError(
            f"{scratch} has {free / 1024**3:.1f} GiB free, and {(needed + _DISK_MARGIN) / 1024**3:.1f} are needed: "
            "give another --scratch"
        )
