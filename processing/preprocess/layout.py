"""Where the packer's outputs lie, and the exclusive right to write them."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from common.contract import ContainerError
from preprocess.settings import SPLITS

SEAL = "dataset.json"
WORK = ".packing"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Paths below ``root``: one folder per split and one for what describes them, or (``flat``) a single folder."""

    root: Path
    flat: bool = False

    def channel(self, split: str) -> Path:
        """Return the folder of a split's records."""
        return self.root if self.flat else self.root / split

    @property
    def described(self) -> Path:
        """The folder of dataset.json, indexes and lists."""
        return self.root if self.flat else self.root / "dataset"

    def records(self, split: str) -> Path:
        """Return the path of a split's .rec file."""
        return self.channel(split) / f"{split}.rec"

    def index(self, split: str) -> Path:
        """Return the path of a split's .idx file."""
        return self.described / f"{split}.idx"

    def list(self, split: str) -> Path:
        """Return the path of a split's .lst file."""
        return self.described / f"{split}.lst"

    @property
    def seal(self) -> Path:
        """The file that is there only if all others are: it is removed first and written last."""
        return self.described / SEAL

    @property
    def work(self) -> Path:
        """The folder of unfinished files; it lies where the records do, so that renaming them is possible."""
        return self.described / WORK

    def make_folders(self) -> None:
        """Make the folders of all channels: an empty one has a meaning too."""
        for folder in (self.described, *map(self.channel, SPLITS)):
            folder.mkdir(parents=True, exist_ok=True)

    def remove_outputs(self, *, keep: set[Path]) -> None:
        """Remove what an earlier run wrote and this one does not, the seal in any case."""
        self.seal.unlink(missing_ok=True)
        for split in SPLITS:
            for path in (self.records(split), self.index(split), self.list(split)):
                if path not in keep:
                    path.unlink(missing_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the outputs alone; what a killed run left unfinished is removed before and after.

        ContainerError where another process is writing here. The lock ends with the process, however it ends.
        """
        self.make_folders()
        lock = os.open(self.described, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ContainerError(
                f"another process is packing into {self.described}: wait for it, or give another folder"
            ) from None
        try:
            self._remove_unfinished()
            self.work.mkdir()
            yield
        finally:
            self._remove_unfinished()
            os.close(lock)

    def _remove_unfinished(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        for folder in {self.described, *map(self.channel, SPLITS)}:
            for path in folder.glob(".*.partial"):
                path.unlink(missing_ok=True)
