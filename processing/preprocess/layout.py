"""Where the packer's outputs lie, and the exclusive right to write them."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

    def images(self, split: str) -> Path:
        """Return the folder of a split's image files, where these are written instead of records."""
        return self.root / split

    def image_list(self, split: str) -> Path:
        """Return the path of the list that names a split's image files."""
        return self.root / f"{split}_lst" / f"{split}.lst"

    def manifest(self, split: str) -> Path:
        """Return the path of the augmented manifest that names a split's image files."""
        return self.root / f"{split}.manifest"

    @property
    def seal(self) -> Path:
        """The file that is there only if all others are: it is removed first and written last."""
        return self.described / SEAL

    @property
    def _broken_seal(self) -> Path:
        """What becomes of the seal while outputs are replaced: should that be cut off, it tells what was ours."""
        return self.seal.with_name(f".{SEAL}.replaced")

    @property
    def work(self) -> Path:
        """The folder of unfinished files; it lies where the records do, so that renaming them is possible."""
        return self.described / WORK

    def make_folders(self) -> None:
        """Make the folders of all channels: an empty one has a meaning too."""
        for folder in (self.described, *map(self.channel, SPLITS)):
            folder.mkdir(parents=True, exist_ok=True)

    def holds_images(self) -> bool:
        """Tell whether an earlier run ended well and wrote image files here, so that their folders are ours."""
        for seal in (self._broken_seal, self.seal):
            try:
                content = json.loads(seal.read_bytes())
            except (OSError, ValueError, RecursionError):
                continue
            if isinstance(content, dict) and content.get("output") in {"image", "augmented-manifest"}:
                return True
        return False

    def remove_outputs(self, *, keep: set[Path]) -> None:
        """Remove what an earlier run wrote and this one does not, the seal in any case."""
        held_images = self.holds_images()
        if self.seal.exists():
            self.seal.replace(self._broken_seal)
        for split in SPLITS if held_images else ():
            self._remove_images(split, keep)
        for split in SPLITS:
            for path in (self.records(split), self.index(split), self.list(split)):
                if path not in keep:
                    path.unlink(missing_ok=True)

    def _remove_images(self, split: str, keep: set[Path]) -> None:
        folder = self.images(split)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir():
                shutil.rmtree(path)
            elif not path.match(".*.partial"):  # records of this run, in a layout where they share the folder
                path.unlink()
        if folder != self.channel(split):
            with suppress(OSError):
                folder.rmdir()
        for path in (self.image_list(split), self.manifest(split)):
            if path not in keep:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds what this run is to keep, or was not there
            self.image_list(split).parent.rmdir()

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
            if self.seal.exists():
                self._broken_seal.unlink(missing_ok=True)
            os.close(lock)

    def _remove_unfinished(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        for folder in {self.described, *map(self.channel, SPLITS)}:
            for path in folder.glob(".*.partial"):
                path.unlink(missing_ok=True)
