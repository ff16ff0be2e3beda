"""What the serving benchmark measures: latency against MXNet's Module, load, memory, start, and what int8 costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contestants import MXNET_PYTHON, ROOT
from benchmarks.http_load import Load, load
from benchmarks.measure import BenchmarkError
from benchmarks.report import MEBIBYTE, Figure, Result
from benchmarks.served_model import PRECISIONS, PREFIX, ServedModel
from benchmarks.serving_process import serving

LOWER_LATENCY = {"fp32": 1.75, "int8": 4.0}
START_SECONDS = 2.0
P99_BY_P50 = 3.0
# Pages that the allocator takes late; a leak of a kilobyte per request would be five times as much.
MAX_GROWTH_MEBIBYTES = 10.0
MAX_DROP_POINTS = 1.0
WARM_UP_RUNS = 10
MEMORY_CONNECTIONS = 16
_LEFT_OUT = ("OMP_", "GOMP_", "MXNET_", "PYTHON")


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is measured: single requests a round, seconds and connections of a load, requests of the memory run."""

    runs: int
    seconds: int
    connections: Sequence[int]
    requests: int


def latency(model: ServedModel, image: Path, extent: Extent, rounds: int) -> Result:
    """Answer one image at a time, with all contestants in every round; who begins changes."""
    contestants = ["module", *PRECISIONS]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for number in range(rounds):
        begin = number % len(contestants)
        for name in [*contestants[begin:], *contestants[:begin]]:
            found[name].append(_medians(name, model, image, extent.runs))
    figures = [
        Figure(name="Module at its defaults, network alone, ms", value=1000 * _median(found["module"], "network")),
        Figure(name="Module at its defaults, from a file's bytes, ms", value=1000 * _median(found["module"], "image")),
    ]
    for precision in PRECISIONS:
        own, target = found[precision], LOWER_LATENCY[precision]
        figures += [
            Figure(name=f"{precision}, network alone, ms", value=1000 * _median(own, "network")),
            Figure(name=f"{precision}, through HTTP, ms", value=1000 * _median(own, "http")),
            Figure(
                name=f"{precision}, network alone, times lower latency than Module's",
                value=_ratio(found["module"], own, "network", "network"),
                target=target,
            ),
            Figure(
                name=f"{precision}, through HTTP, times lower latency than Module's",
                value=_ratio(found["module"], own, "image", "http"),
                target=target,
            ),
        ]
    return Result(workload="latency", what=f"one by one, {extent.runs} a round", figures=figures, details=found)


def under_load(model: ServedModel, image: Path, extent: Extent, rounds: int) -> Result:
    """Send requests from several connections at once, with both precisions."""
    cores = len(os.sched_getaffinity(0))
    figures: list[Figure] = []
    runs: dict[str, list[dict[str, Any]]] = {}
    counts = sorted({*extent.connections, cores})
    for precision in PRECISIONS:
        with serving(model.packaged[precision]) as server:
            server.seconds(image, WARM_UP_RUNS)
            for count in counts:
                loads = [_loaded(server.port, image, count, extent) for _ in range(rounds)]
                figures += _load_figures(f"{precision}, {count} connections", loads, even=count <= cores)
                runs[f"{precision}-{count}"] = [asdict(each) for each in loads]
    return Result(workload="load", what=f"{extent.seconds} s for each", figures=figures, details={"loads": runs})


def memory(model: ServedModel, image: Path, extent: Extent, rounds: int) -> Result:
    """Look at the server's memory before and after many requests, a fiftieth of them being warm-up."""
    with serving(model.packaged["int8"]) as server:
        answered = errors = 0
        before = 0
        while answered < extent.requests:
            found = load(server.port, image, connections=MEMORY_CONNECTIONS, seconds=extent.seconds, place=image.parent)
            answered, errors = answered + found.requests, errors + found.errors
            if not before and answered >= extent.requests // 50:
                before = server.resident_bytes
        after = server.resident_bytes
    figures = [
        Figure(name="memory after the warm-up, MiB", value=before / MEBIBYTE),
        Figure(name="memory at the end, MiB", value=after / MEBIBYTE),
        Figure(name="growth, MiB", value=(after - before) / MEBIBYTE, target=MAX_GROWTH_MEBIBYTES, below=True),
        Figure(name="errors", value=errors, target=1, below=True),
    ]
    return Result(workload="memory", what=f"int8, {answered:,} requests", figures=figures)


def start(model: ServedModel, image: Path, extent: Extent, rounds: int) -> Result:
    """Start the server anew in every round; the clock runs until the first image is answered."""
    figures = []
    for precision in PRECISIONS:
        seconds = []
        for _ in range(rounds):
            with serving(model.packaged[precision]) as server:
                server.seconds(image, 1)
                seconds.append(time.perf_counter() - server.started)
        name = f"{precision}, start to first answer, s"
        figures.append(Figure(name=name, value=median(seconds), target=START_SECONDS, below=True))
    return Result(workload="start", what="process, libraries, model, warm-up, one image", figures=figures)


def accuracy(model: ServedModel, image: Path, extent: Extent, rounds: int) -> Result:
    """Return the accuracies that evaluation and packaging have measured on the same test images."""
    figures = [Figure(name=f"{name}, accuracy", value=value) for name, value in model.accuracy.items()]
    drop = 100 * (model.accuracy["fp32"] - model.accuracy["int8"])
    figures.append(Figure(name="int8 less accurate by, points", value=drop, target=MAX_DROP_POINTS, below=True))
    what = (
        f"ResNet-{model.network.num_layers} trained for {model.network.epochs} epochs, {model.test_images} test images"
    )
    return Result(workload="accuracy", what=what, figures=figures)


def _medians(name: str, model: ServedModel, image: Path, runs: int) -> dict[str, float]:
    """Return medians in seconds: "network" alone, "image" from the file's bytes on, and "http" for ours."""
    settings: dict[str, Any] = {"image": str(image), "runs": runs}
    if name == "module":
        network = {"side": model.network.side, "short_side": model.network.short_side, "epoch": model.epoch}
        settings |= {"prefix": str(model.trained / PREFIX), **network}
        return _shortened(_printed(str(MXNET_PYTHON), "module_predict.py", settings))
    folder = model.packaged[name]
    found = _shortened(_printed(sys.executable, "session_predict.py", settings | {"model": str(folder)}))
    with serving(folder) as server:
        server.seconds(image, WARM_UP_RUNS)
        return found | {"http": median(server.seconds(image, runs))}


def _printed(python: str, program: str, settings: Mapping[str, Any]) -> dict[str, list[float]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    command = [python, str(ROOT / "benchmarks" / program), json.dumps(settings)]
    environment = kept | {"PYTHONPATH": str(ROOT / "processing")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{program} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    content: dict[str, list[float]] = json.loads(done.stdout.splitlines()[-1])
    return content


def _shortened(seconds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: median(values) for name, values in seconds.items()}


def _median(rounds: Sequence[Mapping[str, float]], of: str) -> float:
    return median(each[of] for each in rounds)


def _ratio(
    peer: Sequence[Mapping[str, float]], ours: Sequence[Mapping[str, float]], their_field: str, our_field: str
) -> float:
    """Return the median of the rounds' pairs, peer by ours."""
    return median(theirs[their_field] / own[our_field] for theirs, own in zip(peer, ours, strict=True))


def _loaded(port: int, image: Path, connections: int, extent: Extent) -> Load:
    return load(port, image, connections=connections, seconds=extent.seconds, place=image.parent)


def _load_figures(what: str, loads: Sequence[Load], *, even: bool) -> list[Figure]:
    """Return the figures of one number of connections; up to the core count waits have to be ``even``."""
    tail = median(each.p99 / each.p50 for each in loads)
    return [
        Figure(name=f"{what}, images/s", value=median(each.requests / each.seconds for each in loads)),
        Figure(name=f"{what}, p50 in ms", value=1000 * median(each.p50 for each in loads)),
        Figure(name=f"{what}, p99 in ms", value=1000 * median(each.p99 for each in loads)),
        Figure(name=f"{what}, p99 by p50", value=tail, target=P99_BY_P50 if even else None, below=even),
        Figure(name=f"{what}, errors", value=sum(each.errors for each in loads), target=1, below=True),
    ]
