"""Tries one input after another in a process of its own, which says which one it is at, since it may not survive it.

Started by fuzz.run: python -m fuzz.worker TARGET SEED FIRST STATUS FINDINGS.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import math
import mmap
import os
import resource
import struct
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from fuzz.packer import Lost, Packer
from fuzz.properties import Properties
from fuzz.targets import Bombs, Decoder, Failing, Records, Target

MEMORY_BYTES = 3 << 30
STATUS = struct.Struct("<QddQQQQQdQ")
SAVED_PER_CAUSE = 3
LOG_BYTES = 1 << 20
CLEAN_LOG_EVERY = 500


@dataclass
class Status:
    """What a worker says in shared memory: the input it is at, when it began (clock and own CPU time), its counts."""

    number: int = 0
    began: float = math.inf
    began_cpu: float = math.inf
    tried: int = 0
    accepted: int = 0
    refused: int = 0
    wrong: int = 0
    lost: int = 0
    slowest: float = 0.0
    slowest_number: int = 0

    @classmethod
    def read(cls, path: Path) -> Status:
        """Return what stands in the file."""
        return cls(*STATUS.unpack(path.read_bytes()[: STATUS.size]))


def target_named(name: str, bombs: Path) -> Target:
    """Return the target of that name."""
    makers: dict[str, Callable[[], Target]] = {
        **{"bombs": lambda: Bombs(bombs), "decoder": Decoder, "readers": Records},
        **{"round trips": Properties, "packer": Packer, "failing": Failing},
    }
    return makers[name]()


def limit_memory() -> None:
    """Bound this process and its children; a decoder that wants more is a finding."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Findings:
    """Writes down what went wrong, the first inputs of each cause."""

    def __init__(self, folder: Path, target: Target) -> None:
        self._folder = folder
        self._target = target
        self._seen: dict[str, int] = {}

    def add(self, error: Exception, data: bytes, seed: int, number: int) -> None:
        """Save the input and append a line to findings.jsonl."""
        cause = _cause(error)
        self._seen[cause] = self._seen.get(cause, 0) + 1
        if self._seen[cause] <= SAVED_PER_CAUSE:
            trace = "".join(traceback.format_exception(error))
            save(self._folder, self._target.name, data, seed, number, cause=cause, trace=trace)


def _cause(error: Exception) -> str:
    """Return the kind of an error and where it was raised, without what differs from input to input."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = frames[-2] if frames[-1].name == "demand" else frames[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def save(folder: Path, target: str, data: bytes, seed: int, number: int, *, cause: str, trace: str) -> None:
    """Write the input, where it has bytes, and a line about it."""
    path = None
    if data:
        path = folder / f"{target}-{hashlib.sha256(data).hexdigest()[:16]}.bin"
        path.write_bytes(data)
    line = {
        "target": target,
        "seed": seed,
        "number": number,
        "cause": cause,
        "trace": trace,
        "file": path and str(path),
    }
    with (folder / "findings.jsonl").open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(json.dumps(line) + "\n")


def main() -> None:
    """Try inputs until somebody ends this process."""
    name, seed, first, status_path, folder = sys.argv[1:]
    # Libraries complain on stderr at every input; a dead process leaves its Python stack there.
    os.dup2(os.open(Path(folder) / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_TRUNC), 2)
    faulthandler.enable()
    target = target_named(name, Path(folder) / "bombs")
    limit_memory()
    findings = Findings(Path(folder), target)
    status = Status(number=int(first))
    with Path(status_path).open("r+b") as file, mmap.mmap(file.fileno(), STATUS.size) as shared:
        while True:
            status.began, status.began_cpu = time.monotonic(), time.process_time()
            shared[:] = STATUS.pack(*astuple(status))
            try_one(target, status, findings, int(seed))
            if status.tried % CLEAN_LOG_EVERY == 0 and os.fstat(2).st_size > LOG_BYTES:
                os.ftruncate(2, 0)


def try_one(target: Target, status: Status, findings: Findings, seed: int) -> None:
    """Make and check the input ``status.number``, count it, and go on to the next."""
    data = target.make(seed, status.number)
    accepted, refused = 0, 0
    try:
        accepted, refused = target.check(data, seed, status.number)
    except Exception as error:
        status.wrong += 1
        status.lost += error.count if isinstance(error, Lost) else 0
        findings.add(error, data, seed, status.number)
    seconds = time.monotonic() - status.began
    if seconds > status.slowest:
        status.slowest, status.slowest_number = seconds, status.number
    status.tried += max(accepted + refused, 1)
    status.accepted += accepted
    status.refused += refused
    status.number += 1


if __name__ == "__main__":
    main()
