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
    """One run of a container; `root` is what it sees as /opt/ml, `entrypoint` None means the image's own."""

    name: str
    image: ImageAsset
    root: Path
    log: Path
    arguments: Sequence[str] = ()
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a container ended; `exit_code` is negative where a signal ended it."""

    exit_code: int

    def reason(self, message_file: Path) -> str:
        """Why it failed: the container's own message where it left one, else the exit code or signal."""
        if message_file.is_file() and (message := message_file.read_text(encoding="utf-8", errors="replace").strip()):
            return message
        if self.exit_code < 0:
            return (
                f"killed by signal {-self.exit_code}{' (out of memory?)' if self.exit_code == -signal.SIGKILL else ''}"
            )
        return f"ended with exit code {self.exit_code} and left no message"


class Runtime(Protocol):
    """Something that runs container jobs."""

    name: str

    def run(self, job: ContainerJob, *, on_line: Callable[[str], None], stop: threading.Event) -> Ended:
        """Runs `job` to its end, hands each line of its output on, and ends it early once `stop` is set."""
        ...
