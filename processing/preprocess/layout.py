"""Where the packer's outputs lie, and the exclusive right to write them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from common.contract import ContainerError
from preprocess.settings import SPLITS

SEAL = "dataset.json"
REPORTS = ("labels.json", "rejected.csv", "duplicates.csv")
WORK = ".packing"
# In the folder of unfinished files, for those of an earlier run while their successors take their places.
ASIDE = "replaced"
# The names of unfinished files beside their targets, and nobody else's: of `AtomicFiles`, and of planned records.
UNFINISHED = re.compile(
    r"\.((train|validation|test)\.(rec|idx|lst|manifest)|(labels|dataset)\.json|(rejected|duplicates)\.csv)(\.\d+)?\.partial"
)
# Workers of a run that was killed just now hold its lock until they have ended too.
LOCK_PATIENCE_SECONDS = 2.0


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

    def record_list(self, split: str) -> Path:
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
        """The folder of unfinished files, in the file system of the outputs, so that renaming them is possible."""
        return self.described / WORK

    def image_splits(self) -> list[str]:
        """Return the splits whose image files an earlier run, which ended well, wrote here: those folders are ours."""
        try:
            content = json.loads(self.seal.read_bytes())
        except (OSError, ValueError, RecursionError):
            return []
        if not isinstance(content, dict) or content.get("output") not in {"image", "augmented-manifest"}:
            return []
        counts = content.get("counts")
        return [split for split in SPLITS if isinstance(counts, dict) and counts.get(split)]

    def remove_outputs(self, *, keep: set[Path]) -> None:
        """Set aside what an earlier run wrote, the seal first; should this run fail, `locked` puts it back.

        That includes what it is to ``keep`` as the name of a new file: only then all of it can be put back.
        """
        written = [*self._files(), *keep, *self._image_outputs()]
        if self.seal.exists():
            self.seal.replace(self._broken_seal)
        for path in written:
            if os.path.lexists(path):
                aside = path.parent / WORK / ASIDE
                aside.mkdir(parents=True, exist_ok=True)
                path.replace(aside / path.name)

    def _files(self) -> list[Path]:
        """All files of records and of what describes them, but for the seal."""
        of_splits = [
            path for split in SPLITS for path in (self.records(split), self.index(split), self.record_list(split))
        ]
        return [*of_splits, *(self.described / name for name in REPORTS)]

    def _image_outputs(self) -> list[Path]:
        """What a run that wrote image files has left, nothing where there was none."""
        splits = self.image_splits()
        return [path for split in splits for path in (self.images(split), self.image_list(split), self.manifest(split))]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the outputs alone; what a killed run left unfinished is removed before and after.

        After an error, outputs of an earlier run are what they were, and folders that were made are gone.
        ContainerError where another process is writing here, or where a folder is called what a file is to be. The lock
        ends with the process, however it ends.
        """
        made, lock = self._lock()
        try:
            self._check_names()
            with self._replacing():
                yield
        except OSError as error:
            if error.errno is not None and error.filename is None:  # not every call of the system names a file
                error.filename = os.fspath(self.root)
            raise
        finally:
            if not self.seal.exists():
                _remove_empty(made)
            os.close(lock)

    @contextmanager
    def _replacing(self) -> Iterator[None]:
        if self._broken_seal.exists() and not self.seal.exists():  # a run was killed while it replaced outputs
            self._put_back(sealed=True)
        sealed = self.seal.exists()
        self._remove_unfinished()
        try:
            self.work.mkdir()
            yield
        finally:
            if self.seal.exists():
                self._broken_seal.unlink(missing_ok=True)
            else:
                self._put_back(sealed=sealed)
            self._remove_unfinished()

    def _lock(self) -> tuple[list[Path], int]:
        """Return the folders that had to be made, and the lock of the outputs, for its owner to close."""
        made: list[Path] = []
        patience_ends = time.monotonic() + LOCK_PATIENCE_SECONDS
        while True:
            made += self._make_folders()
            lock = os.open(self.described, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(lock), self.described.stat()):
                    return made, lock
            except FileNotFoundError:
                pass  # the process that had the lock has removed the folder that it had made: make it again
            except BlockingIOError:
                if time.monotonic() > patience_ends:
                    os.close(lock)
                    raise ContainerError(
                        f"another process is packing into {self.described}: wait for it, or give another folder"
                    ) from None
                time.sleep(LOCK_PATIENCE_SECONDS / 40)
            os.close(lock)

    def _make_folders(self) -> list[Path]:
        """Make the folders of all channels: an empty one has a meaning too; returns those that were not there."""
        made: list[Path] = []
        for folder in (self.described, *map(self.channel, SPLITS)):
            made += [path for path in (*reversed(folder.parents), folder) if not path.exists()]
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                raise ContainerError(
                    f"{folder} cannot be made, for a file is in its place: give another folder"
                ) from None
        return made

    def _check_names(self) -> None:
        of_images = [path for split in SPLITS for path in (self.image_list(split), self.manifest(split))]
        for path in (self.seal, *self._files(), *of_images):
            if path.is_dir():
                raise ContainerError(f"{path} is a folder, but is to be a file: move it away, or give another folder")
        for path in (self.work, *(path.parent for path in of_images)):
            if os.path.lexists(path) and not path.is_dir():
                raise ContainerError(f"{path} is a file, but is to be a folder: move it away, or give another folder")

    def _put_back(self, *, sealed: bool) -> None:
        """Undo `remove_outputs`, the seal last, if there was one."""
        for folder in self._folders():
            aside = folder / WORK / ASIDE
            for path in aside.iterdir() if aside.is_dir() else ():
                if path.is_dir() and (folder / path.name).is_dir():  # its successor, which never became a whole
                    shutil.rmtree(folder / path.name)
                path.replace(folder / path.name)
        if sealed and self._broken_seal.exists():
            self._broken_seal.replace(self.seal)

    def _remove_unfinished(self) -> None:
        for folder in self._folders():
            shutil.rmtree(folder / WORK, ignore_errors=True)
            for path in folder.glob(".*.partial"):
                if UNFINISHED.fullmatch(path.name):
                    path.unlink(missing_ok=True)
        for split in SPLITS:
            _remove_empty([self.image_list(split).parent])

    def _folders(self) -> set[Path]:
        """All folders that outputs may lie in."""
        image_lists = (self.image_list(split).parent for split in SPLITS)
        return {self.root, self.described, *map(self.channel, SPLITS), *image_lists}


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in reversed(folders):
        with suppress(OSError):  # it is not empty, or not there
            folder.rmdir()
