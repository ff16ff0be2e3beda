"""Interleaved rounds: every contestant packs the job once in each, so that what disturbs one disturbs all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks import records
from benchmarks.contestants import Contestant, Im2rec, Job
from benchmarks.measure import BenchmarkError, Cost, peak_memory, run, sync

THREADS_TRIED = (1, 2, 3)


@dataclass(kw_only=True)
class Entry:
    """A contestant in its own folder, and what its runs of one job cost."""

    contestant: Contestant
    folder: Path
    job: Job
    costs: list[Cost] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def wall_seconds(self) -> float:
        """Median over the rounds."""
        return median(cost.wall_seconds for cost in self.costs)

    @property
    def cpu_seconds(self) -> float:
        """Median over the rounds."""
        return median(cost.cpu_seconds for cost in self.costs)

    @property
    def rate(self) -> float:
        """Images per second on the clock, start-up included."""
        return self.job.files / self.wall_seconds

    def as_json(self) -> dict[str, Any]:
        """Return medians and every round."""
        return {
            "name": self.contestant.name,
            "packed": self.job.what,
            "images": self.job.files,
            "images_per_second": self.rate,
            "wall_seconds": self.wall_seconds,
            "cpu_seconds": self.cpu_seconds,
            "peak_bytes": self.peak_bytes,
            "rounds": [asdict(cost) for cost in self.costs],
        }


@contextmanager
def entered(job: Job, contestants: Sequence[Contestant], scratch: Path) -> Iterator[list[Entry]]:
    """Give each contestant an empty folder, which goes at the end, and let it prepare."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix="packed-") as place:
        entries = []
        for number, contestant in enumerate(contestants):
            folder = Path(place) / str(number)
            folder.mkdir()
            contestant.prepare(job, folder)
            entries.append(Entry(contestant=contestant, folder=folder, job=job))
        yield entries


def warm_up(entries: Sequence[Entry]) -> None:
    """Run each once, untimed, and look at its memory."""
    for entry in entries:
        entry.contestant.clear(entry.folder)
        entry.peak_bytes = peak_memory(entry.contestant.command(entry.job, entry.folder))
        _check(entry)


def measure(entries: Sequence[Entry], rounds: int) -> None:
    """Run each once a round, timed; who begins changes from round to round."""
    for number in range(rounds):
        begin = number % len(entries)
        for entry in [*entries[begin:], *entries[:begin]]:
            entry.costs.append(timed(entry))


def timed(entry: Entry) -> Cost:
    """Run once; BenchmarkError where it left out an image, for then it has done less work."""
    entry.contestant.clear(entry.folder)
    entry.job.read()
    cost = run(entry.contestant.command(entry.job, entry.folder))
    _check(entry)
    return replace(cost, sync_seconds=sync(entry.contestant.output(entry.folder)))


def _check(entry: Entry) -> None:
    packed = records.count(entry.contestant.output(entry.folder))
    if packed != entry.job.files:
        raise BenchmarkError(f"{entry.contestant.name} packed {packed} of {entry.job.files} images")


def best_threads(job: Job, peer: Im2rec, scratch: Path) -> tuple[Im2rec, dict[int, Cost]]:
    """Return the peer with the thread count that was fastest on the clock, and what each count cost."""
    tried: dict[int, Cost] = {}
    with entered(job, [replace(peer, threads=threads) for threads in THREADS_TRIED], scratch) as entries:
        for threads, entry in zip(THREADS_TRIED, entries, strict=True):
            tried[threads] = timed(entry)
    return replace(peer, threads=min(tried, key=lambda threads: tried[threads].wall_seconds)), tried


def ratio(peer: Entry, ours: Entry, of: Literal["wall_seconds", "cpu_seconds", "on_disk_seconds"]) -> float:
    """Return the median of each round's pair, peer by ours, for the named field of Cost."""
    pairs = zip(peer.costs, ours.costs, strict=True)
    return float(median(getattr(theirs, of) / getattr(own, of) for theirs, own in pairs))
