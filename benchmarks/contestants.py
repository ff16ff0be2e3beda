"""The programs that are compared: imgpipe's command as a user types it, and MXNet's own im2rec.py."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.measure import BenchmarkError, Command, run

ROOT = Path(__file__).resolve().parents[1]
MXNET_PYTHON = ROOT / ".venv-mxnet" / "bin" / "python"
OURS = (str(ROOT / ".venv" / "bin" / "imgpipe"), "pack")

# The wheel that pip chose when MXNet 1.9.1 came out in May 2022, and of 4.5.5 to 4.9 the fastest where it was measured:
# all of them carry a libjpeg-turbo without SIMD code, which wheels have had since 4.10.
OLDER_OPENCV = "4.5.5.64"
# im2rec.py lies in a package whose import takes seconds, so its place is worked out, not asked for.
_IM2REC = "lib/python3.*/site-packages/mxnet/tools/im2rec.py"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is packed: class folders with ``files`` images, ``kind`` for people; ``resize`` 0 keeps the size."""

    source: Path
    files: int
    resize: int
    kind: str = "images"
    quality: int = 95
    pass_through: bool = False

    @property
    def what(self) -> str:
        """How many of what."""
        return f"{self.files:,} {self.kind}"

    def read(self) -> None:
        """Read every file, so that all contestants find all of them in memory; a machine may drop what rests."""
        for path in self.source.glob("*/*"):
            path.read_bytes()


class Contestant(Protocol):
    """A program that packs a job into a folder."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def prepare(self, job: Job, folder: Path) -> None:
        """Do in the empty ``folder`` what is not timed."""

    def clear(self, folder: Path) -> None:
        """Take away what a run has left in ``folder``."""

    def command(self, job: Job, folder: Path) -> Command:
        """Return what is timed."""

    def output(self, folder: Path) -> Path:
        """Return the .rec file that a run writes into ``folder``; .idx and .lst lie beside it."""


@dataclass(frozen=True, kw_only=True)
class Imgpipe:
    """The command a user types, with its own listing, hashing and checks."""

    words: Sequence[str] = OURS
    name: str = "imgpipe pack"
    options: Sequence[str] = ()

    def prepare(self, job: Job, folder: Path) -> None:
        """Nothing: even the listing is part of the command."""

    def clear(self, folder: Path) -> None:
        """Remove all."""
        shutil.rmtree(folder)
        folder.mkdir()

    def command(self, job: Job, folder: Path) -> Command:
        """Return the command that writes one file."""
        split = ["--train", "1", "--validation", "0", "--test", "0"]
        image = ["--resize", str(job.resize), "--quality", str(job.quality)]
        mode = ["--pass-through"] if job.pass_through else []
        words = [*self.words, str(job.source), str(folder / "out"), *split, *image, *mode, *self.options]
        return Command(words=words, environment=_environment(), log=folder / "log.txt")

    def output(self, folder: Path) -> Path:
        """Return the path of train.rec."""
        return folder / "out" / "train.rec"


@dataclass(frozen=True, kw_only=True)
class Im2rec:
    """MXNet's packer. Its list is made beforehand, which favours it: the time of that run is not counted."""

    opencv: str
    threads: int
    libraries: Path | None = None

    @property
    def name(self) -> str:
        """Program, OpenCV and threads."""
        return f"im2rec.py, OpenCV {self.opencv}, {self.threads} thread{'s' * (self.threads > 1)}"

    def prepare(self, job: Job, folder: Path) -> None:
        """Write the list that im2rec.py reads."""
        run(self._command(folder, ["--list", "--recursive"], job))

    def clear(self, folder: Path) -> None:
        """Remove all but the list."""
        for path in folder.iterdir():
            if path.suffix != ".lst":
                path.unlink()

    def command(self, job: Job, folder: Path) -> Command:
        """Return the run that packs what is on the list."""
        image = ["--resize", str(job.resize), "--quality", str(job.quality)]
        mode = ["--pass-through"] if job.pass_through else []
        return self._command(folder, ["--num-thread", str(self.threads), *image, *mode], job)

    def output(self, folder: Path) -> Path:
        """Return the path of images.rec."""
        return folder / "images.rec"

    def _command(self, folder: Path, options: Sequence[str], job: Job) -> Command:
        words = [str(MXNET_PYTHON), str(im2rec_script()), *options, str(folder / "images"), str(job.source)]
        first = {"PYTHONPATH": str(self.libraries)} if self.libraries else {}
        return Command(words=words, environment=_environment() | first, log=folder / "log.txt")


def _environment() -> dict[str, str]:
    """Return this environment without what leads Python to other packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def im2rec_script() -> Path:
    """Return the im2rec.py of .venv-mxnet; BenchmarkError where it is not installed."""
    found = sorted(MXNET_PYTHON.parents[1].glob(_IM2REC))
    if not found:
        raise BenchmarkError("im2rec.py of MXNet was not found in .venv-mxnet: run make setup")
    return found[0]


def older_opencv(folder: Path) -> Path:
    """Return the place below ``folder`` of the older OpenCV, fetched once; BenchmarkError where that fails."""
    place = folder / f"opencv-{OLDER_OPENCV}"
    if (place / "cv2").is_dir():
        return place
    print(f"Installing OpenCV {OLDER_OPENCV} for im2rec.py", flush=True)
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--python", str(MXNET_PYTHON), "--target", str(place)]
    command = [str(ROOT / ".venv/bin/uv"), "pip", "install", *options, f"opencv-python-headless=={OLDER_OPENCV}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(
            f"OpenCV {OLDER_OPENCV} could not be installed: {done.stderr.strip()}; --installed-opencv leaves it out"
        )
    return place


def python_with(libraries: Path | None) -> tuple[str, Mapping[str, str]]:
    """Return MXNet's Python and the environment in which it finds ``libraries`` first."""
    return str(MXNET_PYTHON), _environment() | ({"PYTHONPATH": str(libraries)} if libraries else {})
