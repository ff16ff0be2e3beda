"""The packer as a whole, as the process that a container runs: no file that is put in may get lost."""
# File names are bytes here, which pathlib does not take.
# ruff: noqa: PTH101, PTH103, PTH104, PTH118, PTH119, PTH120, PTH123, PTH211

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.lists import read_list
from common.recordio import read_records
from fuzz import corpus
from fuzz.mutations import mutate
from fuzz.targets import Wrong, demand, generator
from preprocess.decode import read_image

SPLITS = ("train", "validation", "test")
TOKEN = re.compile(r"fz\d{4}z")
CLASSES = (b"cat", b"dog \xc3\xbc", b"\xf0\x9f\x98\x80", b"caf\xe9", b"tab\there", b"-r", b"100%09")
# What surrounds the token in a name: everything that a file name may hold.
DECORATIONS = (
    *(
        b"",
        b" ",
        b"a b",
        b"\t",
        b"\n",
        b"\r\n",
        b"\xf0\x9f\x98\x80",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"%0A",
        b"%25",
        b'"',
    ),
    *(b",", b"'", b"$(x)", b"-", b"*?", b"\\", b"\x7f\x1b[31m", b"\xe2\x80\xae", "e\u0301".encode(), b"x" * 200),
)
SUFFIXES = (b".jpg", b".JPG", b".jpeg", b".png", b".PNG", b".gif", b".webp", b".bmp", b".tif", b".tiff", b".avif")
NO_IMAGE_SUFFIXES = (b"", b".txt", b".lst", b".json", b".jpg.bak", b".db", b".", b".jpg ")
GOOD_PER_CLASS, BAD_PER_CLASS = 8, 40
PROCESS_SECONDS = 240


class Lost(Wrong):
    """Files that are neither packed nor rejected nor ignored, or are so twice."""

    def __init__(self, what: str, count: int) -> None:
        super().__init__(what)
        self.count = count


@dataclass
class Folder:
    """A data folder in the making; ``paths`` holds each file's relative path by its token."""

    root: Path
    chance: random.Random
    paths: dict[str, str] = field(default_factory=dict)

    def new(self, folder: bytes, decoration: bytes, suffix: bytes) -> bytes:
        """Return the absolute path of a new file with a token in its name."""
        token = f"fz{len(self.paths):04}z"
        front = self.chance.random() < 0.5
        name = decoration + token.encode() + suffix if front else token.encode() + decoration + suffix
        path = os.path.join(os.fsencode(self.root), folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.paths[token] = os.fsdecode(os.path.join(folder, name))
        return path


class Packer:
    """Folders of damaged files with hostile names through python -m preprocess."""

    name = "packer"
    seconds_per_input = 2.5 * PROCESS_SECONDS
    accepted, refused = "packed", "rejected or ignored"

    def make(self, seed: int, number: int) -> bytes:
        """Return nothing: the folder is made from its number."""
        return b""

    def replay(self, data: bytes) -> None:
        """A folder has no file; it is repeated by its number."""

    def check(self, data: bytes, seed: int, number: int) -> tuple[int, int]:
        """Pack a folder and account for each file; every fourth is packed twice, to the same bytes."""
        with tempfile.TemporaryDirectory(prefix="fuzz-packer-") as name:
            ml_root = Path(name)
            folder = Folder(ml_root / "processing/input/data", generator(seed, number))
            fill(folder)
            options = _options(folder.chance)
            _pack(ml_root, options)
            output = ml_root / "processing/output"
            result = account(folder, output)
            if number % 4 == 0:
                output.rename(ml_root / "first")
                _pack(ml_root, options)
                demand(_contents(ml_root / "first") == _contents(output), f"packing again gives other bytes: {options}")
            return result


def fill(folder: Folder) -> None:
    """Put good, damaged and impossible files into class folders."""
    chance = folder.chance
    good = [seed for seed in corpus.seeds() if seed.size is not None]
    for name in chance.sample(CLASSES, 3):
        for _ in range(GOOD_PER_CLASS):
            seed = chance.choice(good)
            Path(os.fsdecode(folder.new(name, b"", _suffix_of(seed)))).write_bytes(_distinct(seed, chance))
        for _ in range(BAD_PER_CLASS):
            seed = chance.choice(corpus.seeds())
            family = [other.data for other in corpus.by_kind()[seed.kind]]
            suffix = chance.choice((_suffix_of(seed), *SUFFIXES, chance.choice(NO_IMAGE_SUFFIXES)))
            # A list in the data folder itself would say what is to be packed.
            outside = name if suffix == b".lst" else b""
            place = chance.choice((name, name, name + b"/" + chance.choice(DECORATIONS[1:]) + b"deeper", outside))
            with open(folder.new(place, chance.choice(DECORATIONS), suffix), "wb") as file:
                file.write(mutate(chance, seed.data, family))
        for make in _SPECIAL:
            make(folder, name)


def _suffix_of(seed: corpus.Seed) -> bytes:
    return {"jpeg": b".jpg", "tiff": b".tif", "other": b".jpg"}.get(seed.kind, b"." + seed.kind.encode())


def _distinct(seed: corpus.Seed, chance: random.Random) -> bytes:
    """Return a whole image unlike the others, so that duplicates do not empty a class's splits."""
    if seed.kind in {"bmp", "tiff"}:
        return seed.data + chance.randbytes(4)
    image = corpus.picture(chance.randrange(9, 60), chance.randrange(9, 60)).rotate(chance.randrange(360))
    return corpus.saved(image, "JPEG" if seed.kind == "jpeg" else seed.kind.upper())


def _fifo(folder: Folder, name: bytes) -> None:
    os.mkfifo(folder.new(name, b"fifo", b".jpg"))


def _socket(folder: Folder, name: bytes) -> None:
    # A socket's path is short, so it is made elsewhere and moved.
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{short}/s")
        os.rename(f"{short}/s", folder.new(name, b"socket", b".png"))


def _dangling(folder: Folder, name: bytes) -> None:
    os.symlink(b"nowhere", folder.new(name, b"dangling", b".jpg"))


def _loop(folder: Folder, name: bytes) -> None:
    path = folder.new(name, b"loop", b".jpg")
    os.symlink(os.path.basename(path), path)


def _to_parent(folder: Folder, name: bytes) -> None:
    os.symlink(b"..", folder.new(name, b"parent", b".jpg"))


def _endless(folder: Folder, name: bytes) -> None:
    os.symlink(b"/dev/zero", folder.new(name, b"endless", b".jpg"))


def _outside(folder: Folder, name: bytes) -> None:
    outside = folder.root.parent / "outside.png"
    outside.write_bytes(corpus.saved(corpus.picture(), "PNG"))
    os.symlink(os.fsencode(outside), folder.new(name, b"outside", b".png"))


def _inside(folder: Folder, name: bytes) -> None:
    target = folder.new(name, b"target", b".bmp")
    with open(target, "wb") as file:
        file.write(corpus.by_kind()["bmp"][-1].data)
    os.symlink(os.path.basename(target), folder.new(name, b"inside", b".bmp"))


def _empty(folder: Folder, name: bytes) -> None:
    with open(folder.new(name, b"empty", b".jpg"), "wb"):
        pass


def _hidden(folder: Folder, name: bytes) -> None:
    with open(folder.new(name, b"", b".jpg").replace(b"/fz", b"/.fz"), "wb") as file:
        file.write(b"hidden")


def _folder_with_suffix(folder: Folder, name: bytes) -> None:
    with open(folder.new(name + b"/folder.jpg", b"", b".gif"), "wb") as file:
        file.write(corpus.by_kind()["gif"][0].data)


def _unreadable(folder: Folder, name: bytes) -> None:
    path = folder.new(name, b"unreadable", b".jpg")
    with open(path, "wb") as file:
        file.write(corpus.by_kind()["jpeg"][0].data)
    os.chmod(path, 0)


_SPECIAL: tuple[Callable[[Folder, bytes], None], ...] = (
    *(_fifo, _socket, _dangling, _loop, _to_parent, _endless, _outside, _inside, _empty, _hidden, _folder_with_suffix),
    _unreadable,
)


def _options(chance: random.Random) -> list[str]:
    size = chance.choice((8, 24, 32))
    return [
        *(f"--image-size={size}", f"--resize={chance.choice((0, size, size + 9))}", f"--seed={chance.randrange(99)}"),
        *("--max-rejected-fraction=1", "--validation-fraction=0.2", "--test-fraction=0.1"),
        f"--record-format={chance.choice(('jpg', 'png'))}",
        f"--crop={chance.choice(('none', 'square'))}",
        f"--pass-through={chance.choice(('true', 'false'))}",
        f"--convert-icc={chance.choice(('true', 'false'))}",
    ]


def _pack(ml_root: Path, options: list[str]) -> None:
    environment = {**os.environ, "ML_ROOT": str(ml_root), "PYTHONFAULTHANDLER": "1"}
    command = [sys.executable, "-m", "preprocess", *options]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PROCESS_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Wrong(f"still packing after {PROCESS_SECONDS} s: {' '.join(options)}") from None
    message = done.stderr.decode(errors="replace")[-3000:]
    demand(done.returncode == 0, f"exit code {done.returncode} with {' '.join(options)}: {message}")


def account(folder: Folder, output: Path) -> tuple[int, int]:
    """Find each file of the folder once in the output; return how many were packed, and how many were not."""
    dataset: dict[str, Any] = json.loads((output / "dataset/dataset.json").read_text(encoding="utf-8"))
    packed = [path for split in SPLITS for path in _packed(output, split, dataset)]
    with (output / "dataset/rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = [row["path"] for row in csv.DictReader(file)]
    found = Counter(token for path in [*packed, *rejected] for token in TOKEN.findall(path))
    silent = set(folder.paths) - set(found)
    lost = len(silent) - dataset["ignored"]
    if lost != 0:
        names = [folder.paths[token] for token in sorted(silent)]
        raise Lost(f"{len(silent)} files not named, {dataset['ignored']} ignored; among {names[:60]}", abs(lost))
    twice = [token for token, count in found.items() if count > 1]
    if twice or len(packed) + len(rejected) != len(found):
        raise Lost(f"named more than once: {[folder.paths[token] for token in twice]}", max(len(twice), 1))
    wrong = [path for path in packed if path not in folder.paths.values()]
    demand(not wrong, f"the lists name no such files: {wrong[:5]}")
    demand(dataset["rejected"] == len(rejected), f"{len(rejected)} rejected, dataset.json says {dataset['rejected']}")
    return len(packed), len(folder.paths) - len(packed)


def _packed(output: Path, split: str, dataset: dict[str, Any]) -> list[str]:
    """Return the paths in a split's list, after a look at each record."""
    listed = read_list(output / "dataset" / f"{split}.lst")
    records = list(read_records(output / split / f"{split}.rec"))
    demand(len(records) == len(listed) == dataset["counts"][split], f"{split}: list and records differ in number")
    index = (output / "dataset" / f"{split}.idx").read_text().splitlines()
    demand([f"{r.header.id}\t{r.offset}" for r in records] == index, f"{split}.idx does not match the records")
    label_of: dict[str, float] = {}
    for record in records:
        path = listed[record.header.id]
        label = label_of.setdefault(path.split("/")[0], record.header.label)
        demand(label == record.header.label, f"{path!r} has another label than its class")
        side = min(read_image(record.payload, short_side=0).shape[:2])
        demand(side == dataset["resize"], f"the record of {path!r} has a short side of {side}")
    return list(listed.values())


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def keep(folder: Path, seed: int, number: int) -> None:
    """Write the data folder ``number`` to a place where it can be looked at."""
    shutil.rmtree(folder, ignore_errors=True)
    fill(Folder(folder, generator(seed, number)))
