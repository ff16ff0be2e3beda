"""Serves a trained model and compares with MXNet's Module; then puts the server under load: `make bench-serve`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import pictures
from benchmarks.contestants import ROOT
from benchmarks.http_load import check_wrk
from benchmarks.machine import machine
from benchmarks.measure import BenchmarkError
from benchmarks.program import carry_out, positive, write_json
from benchmarks.report import MEBIBYTE, Result, summary
from benchmarks.served_model import Network, ServedModel, kept_model
from benchmarks.serving_workloads import Extent, accuracy, latency, memory, start, under_load

HOME = ROOT / ".imgpipe" / "benchmarks"
DEFAULT_ROUNDS = 5
TRAINING_IMAGES = "cats_dogs"
QUICK_IMAGES_PER_CLASS = 40


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The network, and how much is asked of it."""

    network: Network
    extent: Extent


FULL = Setting(
    network=Network(num_layers=18, side=224, short_side=256, epochs=12),
    extent=Extent(runs=100, seconds=20, connections=(1, 4, 16, 64), requests=50_000),
)
QUICK = Setting(
    network=Network(num_layers=20, side=32, short_side=32, epochs=4),
    extent=Extent(runs=5, seconds=1, connections=(1, 4), requests=200),
)

Workload = Callable[[ServedModel, Path, Extent, int], Result]
WORKLOADS: Mapping[str, Workload] = {
    "accuracy": accuracy,
    "start": start,
    "latency": latency,
    "load": under_load,
    "memory": memory,
}
NEED_WRK = ("load", "memory")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the JSON; returns the exit code: 0 whether or not targets are met, 1 where it cannot."""
    return carry_out(_parser().parse_args(arguments), _measure, rounds=DEFAULT_ROUNDS)


def _measure(options: argparse.Namespace) -> None:
    chosen = options.only or list(WORKLOADS)
    if set(chosen) & set(NEED_WRK):
        check_wrk()
    setting = QUICK if options.quick else FULL
    options.scratch.mkdir(parents=True, exist_ok=True)
    about: dict[str, Any] = {"machine": machine(), "rounds": options.rounds, "quick": options.quick}
    host = about["machine"]
    print(
        f"{host['processor']}, {host['cores']} cores, {host['memory_bytes'] / MEBIBYTE:,.0f} MiB, "
        f"load {host['load_before']:.2f}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="run-") as scratch:
        place = Path(scratch)
        network = setting.network
        print(
            f"ResNet-{network.num_layers} at {network.side}x{network.side}, trained now unless it was kept", flush=True
        )
        model = kept_model(_training_images(options, place), network, options.model or place)
        image = place / "photo.jpg"
        image.write_bytes(pictures.photo_files(pictures.load_base(None))[0])
        about["model"] = {"layers": network.num_layers, "side": network.side, "accuracy": dict(model.accuracy)}
        results = []
        for name in chosen:
            results.append(WORKLOADS[name](model, image, setting.extent, options.rounds))
            print(f"\n{results[-1].text()}", flush=True)
            write_json(options.json, about, results)
    print(f"\n{summary(results)}; all rounds in {options.json}", flush=True)


def _training_images(options: argparse.Namespace, place: Path) -> Path:
    """Return a folder of class folders: the given one, the test data's, or scikit-learn's digits for a quick run."""
    if options.quick:
        return _digits(place / "digits")
    folder: Path = options.images or pictures.TEST_DATA / TRAINING_IMAGES
    if not folder.is_dir():
        raise BenchmarkError(f"{folder} does not exist: give a folder of class folders to train on with --images")
    return folder


def _digits(folder: Path) -> Path:
    """Write some of scikit-learn's digits as class folders."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    written: dict[int, int] = {}
    for pixels, label in zip(digits.images, digits.target.tolist(), strict=True):
        number = written.get(label, 0)
        if number == QUICK_IMAGES_PER_CLASS:
            continue
        written[label] = number + 1
        path = folder / str(label) / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15.9).astype("uint8")).resize((32, 32)).save(path)
    return folder


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-serve", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(WORKLOADS), help="a workload; may be repeated")
    parser.add_argument("--rounds", type=positive, default=None, help=f"default {DEFAULT_ROUNDS}, quick 1")
    parser.add_argument("--quick", action="store_true", help="a small network: whether it works, not how fast")
    parser.add_argument("--images", type=Path, help="folder of class folders to train on")
    parser.add_argument("--model", type=Path, help="folder that keeps the trained model, to measure it again")
    parser.add_argument("--table", action="store_true", help="measure nothing; print the JSON's figures as Markdown")
    parser.add_argument("--json", type=Path, default=HOME / "serve.json", help="where the figures go")
    parser.add_argument("--scratch", type=Path, default=HOME, help="folder for the model and images of the run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
