"""Packs the same folders with imgpipe and with MXNet's im2rec.py, and says how they compare: `make bench-pack`."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.against_im2rec import large, pass_through, photos, picture_quality
from benchmarks.against_limits import limit, scale
from benchmarks.bench import QUICK, Bench, Sizes
from benchmarks.contestants import OURS, ROOT, Im2rec, Imgpipe, older_opencv
from benchmarks.machine import machine, our_versions, peer_versions
from benchmarks.pictures import load_base
from benchmarks.program import carry_out, positive, write_json
from benchmarks.report import MEBIBYTE, summary

HOME = ROOT / ".imgpipe" / "benchmarks"
DEFAULT_ROUNDS = 5
WORKLOADS = {
    "photos": photos,
    "large": large,
    "pass-through": pass_through,
    "limit": limit,
    "scale": scale,
    "quality": picture_quality,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write the JSON; returns the exit code: 0 whether or not targets are met, 1 where it cannot."""
    return carry_out(_parser().parse_args(arguments), _measure, rounds=DEFAULT_ROUNDS)


def _measure(options: argparse.Namespace) -> None:
    options.scratch.mkdir(parents=True, exist_ok=True)
    base = load_base(options.images)
    # A quick run is for tests, which fetch nothing.
    libraries = [None] if options.quick or options.installed_opencv else [None, older_opencv(HOME)]
    peers = {peer_versions(path)["opencv"]: path for path in libraries}
    about = {
        "machine": machine(),
        "versions": {"imgpipe": our_versions(), "im2rec": [peer_versions(path) for path in libraries]},
        "images": {"origin": base.origin, "pictures": len(base.pictures), "left_out": base.left_out},
        "command": shlex.join(options.command),
        "rounds": options.rounds,
        "quick": options.quick,
    }
    print(_heading(about), flush=True)
    with tempfile.TemporaryDirectory(dir=options.scratch, prefix="run-") as scratch:
        bench = Bench(
            base=base,
            scratch=Path(scratch),
            rounds=options.rounds,
            sizes=QUICK if options.quick else Sizes(),
            ours=Imgpipe(words=options.command),
            peers=[Im2rec(opencv=name, threads=2, libraries=path) for name, path in peers.items()],
            try_threads=not options.quick,
        )
        results = []
        for name in options.only or WORKLOADS:
            results.append(WORKLOADS[name](bench))
            print(f"\n{results[-1].text()}", flush=True)
            write_json(options.json, about, results)
    print(f"\n{summary(results)}; all rounds in {options.json}", flush=True)


def _heading(about: Mapping[str, Any]) -> str:
    host, versions, images = about["machine"], about["versions"], about["images"]
    ours = versions["imgpipe"]
    small = f", {images['left_out']} smaller ones left out" if images["left_out"] else ""
    return "\n".join(
        [
            f"{host['processor']}, {host['cores']} cores, {host['memory_bytes'] / MEBIBYTE:,.0f} MiB, "
            f"load {host['load_before']:.2f}",
            f"imgpipe: simplejpeg {ours['simplejpeg']}, OpenCV {ours['opencv-python-headless']}",
            *(f"im2rec.py: OpenCV {peer['opencv']} ({peer['opencv_jpeg']})" for peer in versions["im2rec"]),
            f"Images: {images['pictures']} of {images['origin']}{small}",
            f"Medians of {about['rounds']} interleaved rounds, start-up included, im2rec.py's own listing not counted",
        ]
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-pack", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(WORKLOADS), help="a workload; may be repeated")
    parser.add_argument("--rounds", type=positive, default=None, help=f"default {DEFAULT_ROUNDS}, quick 1")
    parser.add_argument(
        "--quick", action="store_true", help="few images, installed OpenCV: whether it works, not how fast"
    )
    parser.add_argument("--images", type=Path, help="folder of photographs to measure with, at least 500x375 each")
    parser.add_argument("--installed-opencv", action="store_true", help="leave out im2rec.py on the older OpenCV")
    parser.add_argument(
        "--command", type=shlex.split, default=list(OURS), help="another imgpipe, to compare two states"
    )
    parser.add_argument("--table", action="store_true", help="measure nothing; print the JSON's figures as Markdown")
    parser.add_argument("--json", type=Path, default=HOME / "pack.json", help="where the figures go")
    parser.add_argument("--scratch", type=Path, default=HOME, help="folder for the images and records of the run")
    return parser


if __name__ == "__main__":
    sys.exit(main())
