"""Checkpoints of a training job, from which a job that was killed at any moment goes on exactly.

The directory is $ML_ROOT/checkpoints, which SageMaker copies to S3 while the job runs and back before it starts again
(https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html). It copies file by file, so one file holds all
that belongs together:

    checkpoint-NNNN.zip                after NNNN epochs: job.json (what the job is), epochs.json (how they went, the
                                       number of updates, sha256 of the kept parameters), arrays.nd (parameters and
                                       optimizer); zip keeps a check sum of each
    image-classification-NNNN.params   what the model directory held then; never changed once written

The last KEPT checkpoints stay, so that one that is damaged or not wholly copied leaves the one before.
"""

import errno
import hashlib
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mxnet as mx

from common.contract import ContainerError
from common.files import atomic_write, json_bytes
from common.hashing import sha256_of
from train.artifacts import copy_whole, save_arrays
from train.channels import Channel
from train.history import EpochResult

KEPT = 2
JOB, EPOCHS, ARRAYS = "job.json", "epochs.json", "arrays.nd"
# Of the zip file (RuntimeError: encryption or a method that does not exist), its JSON or MXNet's arrays (MXNetError).
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, OverflowError,
    ValueError, TypeError, LookupError, AttributeError,
)  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A job after some epochs: their results, the learner's state and number of updates, the kept parameter files."""

    epochs: list[EpochResult]
    updates: int
    arrays: Mapping[str, mx.nd.NDArray]
    kept: list[Path]

    def state(self) -> dict[str, Any]:
        """All but the files, as plain data that can be sent to other hosts."""
        return {
            "epochs": [asdict(result) for result in self.epochs],
            "updates": self.updates,
            "arrays": {name: value.asnumpy() for name, value in self.arrays.items()},
        }


class _DamagedError(Exception):
    """A checkpoint that cannot be used, and why."""


class Checkpoints:
    """The checkpoints of one job; `job`, as JSON, is all that decides how it goes: those of another are refused."""

    def __init__(self, directory: Path, job: Mapping[str, Any]) -> None:
        self._directory = directory
        self._job = json.loads(json_bytes(job))
        for path in directory.glob(".*.partial"):
            path.unlink()  # of an attempt that was killed

    def save(
        self, epochs: Sequence[EpochResult], *, updates: int, arrays: Mapping[str, mx.nd.NDArray], kept: Sequence[Path]
    ) -> None:
        """Save the state after `epochs`; only then does what it replaces go."""
        hashes = {path.name: sha256_of(path) for path in kept}
        for path in kept:
            if not self._holds(path.name, hashes[path.name]):
                copy_whole(path, self._directory / path.name)
        content = {"epochs": [asdict(result) for result in epochs], "updates": updates, "kept": hashes}
        target = self._directory / f"checkpoint-{len(epochs):04d}.zip"
        blob = target.with_name(f".{ARRAYS}.partial")
        try:
            save_arrays(blob, arrays, target=target)
            with atomic_write(target) as file, zipfile.ZipFile(file, "w") as archive:
                archive.writestr(JOB, json_bytes(self._job))
                archive.writestr(EPOCHS, json_bytes(content))
                archive.write(blob, ARRAYS)
        finally:
            blob.unlink(missing_ok=True)
        self._remove_old()

    def load(self, log: Callable[[str], None]) -> Checkpoint | None:
        """The newest whole checkpoint, None where there is none; one that is damaged is named and passed over.

        Raises ContainerError where it is of another job: going on from it would be wrong, and writing over it would
        lose that job's work.
        """
        for path in reversed(self._saved()):
            try:
                return self._read(path)
            except _DamagedError as error:
                log(f"Checkpoint {path.name} is damaged ({error}), the one before it is used")
        return None

    def _read(self, path: Path) -> Checkpoint:
        with _damage_noticed(), zipfile.ZipFile(path) as archive:
            job, content = (dict(json.loads(archive.read(name))) for name in (JOB, EPOCHS))
            blob = archive.read(ARRAYS)
        self._check_job(path, job)
        with _damage_noticed():
            hashes = dict(content["kept"])
            epochs = [EpochResult(**result) for result in content["epochs"]]
            updates = int(content["updates"])
            arrays = dict(mx.nd.load_frombuffer(blob))
        for name, digest in hashes.items():
            if not self._holds(name, digest):
                raise _DamagedError(f"{name} is missing or changed")
        return Checkpoint(epochs, updates, arrays, [self._directory / name for name in hashes])

    def _holds(self, name: str, digest: str) -> bool:
        """Whether a file of the directory is there, whole."""
        path = self._directory / name
        return path.is_file() and sha256_of(path) == digest

    def _check_job(self, path: Path, job: Mapping[str, Any]) -> None:
        ours, theirs = _flat(self._job), _flat(job)
        different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        if different:
            listed = ", ".join(f"{name} {theirs.get(name)} instead of {ours.get(name)}" for name in different)
            raise ContainerError(
                f"checkpoint {path.name} is of another job, with {listed}; give this job a checkpoint folder of its own"
            )

    def _remove_old(self) -> None:
        saved = self._saved()
        for path in saved[:-KEPT]:
            path.unlink()
        needed = {name for path in saved[-KEPT:] for name in _kept_by(path)}
        for path in self._directory.glob("*.params"):
            if path.name not in needed:
                path.unlink()

    def _saved(self) -> list[Path]:
        return sorted(self._directory.glob("checkpoint-[0-9]*.zip"))


def fingerprint(channel: Channel) -> str:
    """Tells data sets apart: SHA-256 of the labels and of where each record starts, so of every image's size."""
    return hashlib.sha256(repr((channel.labels, channel.offsets, channel.smallest)).encode()).hexdigest()


def _kept_by(path: Path) -> list[str]:
    try:
        with _damage_noticed(), zipfile.ZipFile(path) as archive:
            return list(json.loads(archive.read(EPOCHS))["kept"])
    except _DamagedError:
        return []  # it will not be used, so it needs nothing


@contextmanager
def _damage_noticed() -> Iterator[None]:
    """_DamagedError for what reading a damaged file raises, which with zip files is a lot; a disk's error stays."""
    try:
        yield
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # EINVAL: a place before the file's start
            raise
        raise _DamagedError(error) from None
    except DAMAGE as error:
        raise _DamagedError(f"{type(error).__name__}: {' '.join(str(error).split())}") from None


def _flat(job: Mapping[str, Any]) -> dict[str, Any]:
    """One level: {"data": {"train": x}} as {"data.train": x}."""
    flat: dict[str, Any] = {}
    for name, value in job.items():
        flat |= {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
    return flat
