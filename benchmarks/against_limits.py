"""Ours against what the machine can do: a bare loop over the same images, and itself with fewer images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from statistics import median

from benchmarks import pictures
from benchmarks.bench import SHORT_SIDE, Bench, image_folder
from benchmarks.contestants import ROOT, Job
from benchmarks.measure import BenchmarkError
from benchmarks.report import MEBIBYTE, Figure, Result
from benchmarks.rounds import Entry, entered, timed, warm_up

SMALL_SHORT_SIDE = 64
PEAK_MEBIBYTES = 400
SAME_RATE = 0.9
OF_THE_LIMIT = 0.8
# So few that a run is nothing but start-up.
STARTUP_FILES = 10


def limit(bench: Bench) -> Result:
    """Decode, scale and encode alone against the whole command, start-up included on enough images."""
    cores = sorted(os.sched_getaffinity(0))
    one_core = replace(bench.ours, name="imgpipe pack on one core", options=("--threads", "1"))
    result = Result(workload="limit", what=f"JPEGs of 500x375, short side {SHORT_SIDE}, against a bare loop")
    alone, together = [], []
    with image_folder(bench, pictures.photo_files(bench.base), bench.sizes.limit) as source:
        job = Job(source=source, files=bench.sizes.limit, resize=SHORT_SIDE)
        with entered(job, [bench.ours, one_core], bench.scratch) as entries:
            warm_up(entries)
            for _ in range(bench.rounds):
                alone += _loops(bench, job, cores[:1])
                entries[0].costs.append(timed(entries[0]))
                together.append(sum(loop["420"] for loop in _loops(bench, job, cores)))
                with _pinned(cores[0]):
                    entries[1].costs.append(timed(entries[1]))
    result.entries += entries
    result.details.update(loops_on_one_core=alone, loops_on_all_cores=together)
    result.figures += _limit_figures(entries, alone, together, len(cores))
    return result


def _limit_figures(
    entries: Sequence[Entry], alone: Sequence[dict[str, float]], together: Sequence[float], cores: int
) -> list[Figure]:
    loop = [rates["420"] for rates in alone]
    of_all, of_one = ([entry.job.files / cost.wall_seconds for cost in entry.costs] for entry in entries)
    per_core = [rate / cores for rate in of_all]
    return [
        Figure(name="bare loop on one core, images/s", value=median(loop)),
        Figure(name="bare loop on one core to 4:4:4, images/s", value=median(rates["444"] for rates in alone)),
        Figure(name=f"bare loops on {cores} cores at once, images/s", value=median(together)),
        Figure(name="per core, by the bare loop on one core", value=_ratio(per_core, loop), target=OF_THE_LIMIT),
        Figure(name="on one core, by the bare loop on one core", value=_ratio(of_one, loop)),
        Figure(name="on all cores, by the bare loops on all at once", value=_ratio(of_all, together)),
    ]


def _ratio(values: Sequence[float], by: Sequence[float]) -> float:
    return median(value / other for value, other in zip(values, by, strict=True))


def _loops(bench: Bench, job: Job, cores: Sequence[int]) -> list[dict[str, float]]:
    """Run the bare loop on these cores at the same time."""
    words = [sys.executable, "-m", "benchmarks.limit", str(job.source), str(job.resize), str(job.quality)]
    seconds = str(bench.sizes.limit_seconds)
    running = [subprocess.Popen([*words, str(core), seconds], stdout=subprocess.PIPE, cwd=ROOT) for core in cores]
    outputs = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise BenchmarkError("the bare loop failed, see above")
    return [json.loads(output) for output in outputs]


@contextmanager
def _pinned(core: int) -> Iterator[None]:
    """Run what is started here on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def scale(bench: Bench) -> Result:
    """Ever more small images: the same cost for each, and the same memory."""
    result = Result(workload="scale", what=f"JPEGs of 128x96, short side {SMALL_SHORT_SIDE}")
    files = pictures.small_files(bench.base)
    with ExitStack() as stack:
        jobs = []
        for count in (STARTUP_FILES, *bench.sizes.scale):
            source = stack.enter_context(image_folder(bench, files, count))
            jobs.append(Job(source=source, files=count, resize=SMALL_SHORT_SIDE))
        entries = [stack.enter_context(entered(job, [bench.ours], bench.scratch))[0] for job in jobs]
        warm_up(entries)
        for _ in range(bench.rounds):
            for entry in entries:
                entry.costs.append(timed(entry))
    result.entries += entries
    result.figures += _scale_figures(entries)
    return result


def _scale_figures(entries: Sequence[Entry]) -> list[Figure]:
    start, *others = entries
    rates = [
        median(
            entry.job.files / (cost.wall_seconds - begin.wall_seconds)
            for cost, begin in zip(entry.costs, start.costs, strict=True)
        )
        for entry in others
    ]
    names = [f"images/s without start-up, {entry.job.files:,} images" for entry in others]
    return [
        Figure(name="start-up in seconds", value=start.wall_seconds),
        *(Figure(name=name, value=rate) for name, rate in zip(names, rates, strict=True)),
        Figure(name="the lowest of these rates by the highest", value=min(rates) / max(rates), target=SAME_RATE),
        Figure(
            name="highest peak memory in MiB",
            value=max(entry.peak_bytes for entry in entries) / MEBIBYTE,
            target=PEAK_MEBIBYTES,
            below=True,
        ),
    ]
