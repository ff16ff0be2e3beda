"""Trains the same network on the same records with imgpipe and with MXNet's Module.fit: `make bench-train`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import pictures
from benchmarks.contestants import OURS, ROOT
from benchmarks.machine import machine
from benchmarks.measure import BenchmarkError, run
from benchmarks.program import carry_out, positive, write_json
from benchmarks.report import MEBIBYTE, Figure, Result, summary
from benchmarks.trainers import Contestant, Job, ModuleFit, OurTrainer, Training

HOME = ROOT / ".imgpipe" / "benchmarks"
DEFAULT_ROUNDS = 5
FASTER = 1.5
WAITING_PERCENT = 10.0


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network and the images it is trained on; ``short_side`` is that of the records."""

    num_layers: int
    side: int
    short_side: int
    images: int
    batch_size: int
    epochs: int

    @property
    def what(self) -> str:
        """In words."""
        return (
            f"ResNet-{self.num_layers} at {self.side}x{self.side}, {self.images} images, batches of {self.batch_size}, "
            f"{self.epochs - 1} epochs measured"
        )


WORKLOADS = {
    "small": Workload(num_layers=20, side=32, short_side=32, images=2048, batch_size=32, epochs=4),
    "large": Workload(num_layers=18, side=224, short_side=256, images=320, batch_size=32, epochs=3),
}
QUICK = {
    "small": Workload(num_layers=20, side=32, short_side=32, images=32, batch_size=8, epochs=2),
    "large": Workload(num_layers=18, side=224, short_side=256, images=16, batch_size=4, epochs=2),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the JSON; returns the exit code: 0 whether or not targets are met, 1 where it cannot."""
    return carry_out(_parser().parse_args(arguments), _measure, rounds=DEFAULT_ROUNDS)


def _measure(options: argparse.Namespace) -> None:
    options.scratch.mkdir(parents=True, exist_ok=True)
    base = pictures.load_base(options.images)
    about = {
        "machine": machine(),
        "images": {"origin": base.origin, "pictures": len(base.pictures)},
        "rounds": options.rounds,
        "quick": options.quick,
    }
    print(_heading(about), flush=True)
    results = []
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="run-") as scratch:
        for name in options.only or WORKLOADS:
            workload = (QUICK if options.quick else WORKLOADS)[name]
            results.append(_compared(name, workload, base, Path(scratch), options.rounds))
            print(f"\n{results[-1].text()}", flush=True)
            write_json(options.json, about, results)
    print(f"\n{summary(results)}; all rounds in {options.json}", flush=True)


def _compared(name: str, workload: Workload, base: pictures.Base, scratch: Path, rounds: int) -> Result:
    """Pack the images once and train them in every round with both, who begins changing from round to round."""
    ours: Contestant = OurTrainer()
    peer: Contestant = ModuleFit()
    trainings: dict[str, list[Training]] = {ours.name: [], peer.name: []}
    with tempfile.TemporaryDirectory(dir=scratch, prefix=f"{name}-") as place:
        job = _packed(workload, base, Path(place))
        for number in range(rounds):
            for contestant in (ours, peer) if number % 2 == 0 else (peer, ours):
                with tempfile.TemporaryDirectory(dir=place, prefix="training-") as folder:
                    trainings[contestant.name].append(_trained(contestant, job, Path(folder)))
    return Result(
        workload=name,
        what=workload.what,
        figures=_figures(trainings[ours.name], trainings[peer.name]),
        details={"trainings": {of: [asdict(each) for each in runs] for of, runs in trainings.items()}},
    )


def _trained(contestant: Contestant, job: Job, folder: Path) -> Training:
    run(contestant.command(job, folder))
    return contestant.result(job, folder)


def _figures(ours: Sequence[Training], peer: Sequence[Training]) -> list[Figure]:
    ratios = [own.images_per_second / their.images_per_second for own, their in zip(ours, peer, strict=True)]
    waits = [100 * own.data_wait for own in ours if own.data_wait is not None]
    return [
        Figure(name="imgpipe's trainer, images/s", value=median(each.images_per_second for each in ours)),
        Figure(name="Module.fit at its defaults, images/s", value=median(each.images_per_second for each in peer)),
        Figure(name="images/s, times Module.fit's", value=median(ratios), target=FASTER),
        Figure(name="the least of the rounds", value=min(ratios)),
        Figure(
            name="imgpipe's trainer waits for data, % of its time",
            value=median(waits),
            target=WAITING_PERCENT,
            below=True,
        ),
    ]


def _packed(workload: Workload, base: pictures.Base, place: Path) -> Job:
    """Pack distinct files of the base as train.rec, and one batch of them as validation.rec, beside each other."""
    small = workload.short_side == workload.side
    files = pictures.small_files(base) if small else pictures.photo_files(base)
    packed = place / "packed"
    shape = ["--resize", str(workload.short_side), "--crop", "square" if small else "none"]
    for split, count in {"train": workload.images, "validation": workload.batch_size}.items():
        source = pictures.write_folder(place / split, files, count)
        shares = [word for name in ("train", "validation", "test") for word in (f"--{name}", str(int(name == split)))]
        target = place / f"packed-{split}"
        done = subprocess.run(
            [*OURS, str(source), str(target), *shares, *shape], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchmarkError(f"the images could not be packed: {done.stderr.strip()}")
        packed.mkdir(exist_ok=True)
        for suffix in ("rec", "idx"):
            (target / f"{split}.{suffix}").replace(packed / f"{split}.{suffix}")
    return Job(
        records=packed / "train.rec",
        images=workload.images,
        classes=pictures.CLASSES,
        num_layers=workload.num_layers,
        side=workload.side,
        short_side=workload.short_side,
        batch_size=workload.batch_size,
        epochs=workload.epochs,
    )


def _heading(about: Mapping[str, Any]) -> str:
    host, images = about["machine"], about["images"]
    return "\n".join(
        [
            f"{host['processor']}, {host['cores']} cores, {host['memory_bytes'] / MEBIBYTE:,.0f} MiB, "
            f"load {host['load_before']:.2f}",
            f"Images: {images['pictures']} of {images['origin']}",
            f"Medians of {about['rounds']} alternating rounds; start-up, first epoch and validation not counted",
        ]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-train", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(WORKLOADS), help="a workload; may be repeated")
    parser.add_argument("--rounds", type=positive, default=None, help=f"default {DEFAULT_ROUNDS}, quick 1")
    parser.add_argument("--quick", action="store_true", help="few images: whether it works, not how fast")
    parser.add_argument("--images", type=Path, help="folder of photographs to train with, at least 500x375 each")
    parser.add_argument("--table", action="store_true", help="measure nothing; print the JSON's figures as Markdown")
    parser.add_argument("--json", type=Path, default=HOME / "train.json", help="where the figures go")
    parser.add_argument("--scratch", type=Path, default=HOME, help="folder for the images and models of the run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
