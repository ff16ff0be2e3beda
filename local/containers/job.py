"""A container to run, and how it ended: what both runtimes share."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from local.assembly import ImageAsset


@dataclass(frozen=True, kw_only=True)
class ContainerJob:
    """One run of a container; `root` is what it sees as /opt/ml, `entrypoint` None means the image's own.

    `port` is what its program listens to and this machine is to reach, on the loopback interface.
    """

    name: str
    image: ImageAsset
    root: Path
    log: Path
    arguments: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a container ended; `exit_code` is negative where a signal ended it."""

    exit_code: int

    def reason(self, message: str) -> str:
        """Why it failed, as the service words a job's FailureReason; `message` is what the container left."""
        if self.exit_code >= 0:
            return f"AlgorithmError: {message or 'the container left no message'}, exit code: {self.exit_code}"
        name = signal.Signals(-self.exit_code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        detail = f": {message}" if message else ""
        return f"AlgorithmError: the container was killed by {name}{hint}{detail}, exit code: {128 - self.exit_code}"


def read_message(path: Path) -> str:
    """What a container left in its message or failure file, in one line; empty where it left none."""
    return " ".join(path.read_text(encoding="utf-8", errors="replace").split()) if path.is_file() else ""


class Runtime(Protocol):
    """Something that runs container jobs."""

    name: str

    def run(self, job: ContainerJob, *, on_line: Callable[[str], None], stop: threading.Event) -> Ended:
        """Runs `job` to its end, hands each line of its output on, and ends it early once `stop` is set."""
        ...
