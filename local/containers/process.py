"""Runs a container's program as a plain process: the image's files, an interpreter with its packages, $ML_ROOT."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from local.containers.job import ContainerJob, Ended
from local.containers.stream import GRACE_SECONDS, run_logged
from local.errors import LocalRunError

# For programs that listen: Docker publishes a port on this interface alone, a process would take every one.
LOOPBACK = ("--host", "127.0.0.1")
# What a program needs of the machine; nothing else is handed on, credentials least of all.
_HANDED_ON = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def missing_interpreter(image: str, interpreter: Path | None) -> str:
    """The error's text where the Python environment of an image is not there."""
    return f"image {image} has no Python environment ({interpreter or 'none is configured'}): run `make setup`"


class ProcessRuntime:
    """Needs no Docker; `interpreters` maps an image's name to a Python that has its packages."""

    name = "process"

    def __init__(self, *, interpreters: Mapping[str, Path], grace_seconds: float = GRACE_SECONDS) -> None:
        self._interpreters = interpreters
        self._grace_seconds = grace_seconds

    def run(self, job: ContainerJob, *, on_line: Callable[[str], None], stop: threading.Event) -> Ended:
        """See `Runtime.run`; raises LocalRunError where the image's Python environment is missing."""
        command, environment = command_of(job, interpreters=self._interpreters)
        exit_code = run_logged(
            command,
            environment=environment,
            directory=job.root,
            log=job.log,
            on_line=on_line,
            stop=stop,
            grace_seconds=self._grace_seconds,
        )
        return Ended(exit_code=exit_code)


def command_of(job: ContainerJob, *, interpreters: Mapping[str, Path]) -> tuple[list[str], dict[str, str]]:
    """The command and environment of a job as a process; raises LocalRunError where the interpreter is missing."""
    interpreter = interpreters.get(job.image.name)
    if interpreter is None or not interpreter.exists():
        raise LocalRunError(missing_interpreter(job.image.name, interpreter))
    entrypoint = list(job.entrypoint or image_entrypoint(job.image.directory / job.image.dockerfile))
    if entrypoint[0] == "python":
        entrypoint[0] = str(interpreter)
    environment = {name: os.environ[name] for name in _HANDED_ON if name in os.environ} | {
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(job.image.directory),
        "ML_ROOT": str(job.root),
        **job.environment,
    }
    return [*entrypoint, *job.arguments, *(LOOPBACK if job.port is not None else ())], environment


def image_entrypoint(dockerfile: Path) -> list[str]:
    """The ENTRYPOINT of a Dockerfile, which must be in the JSON form."""
    for line in reversed(dockerfile.read_text(encoding="utf-8").splitlines()):
        if line.startswith("ENTRYPOINT "):
            return [str(part) for part in json.loads(line.removeprefix("ENTRYPOINT "))]
    raise LocalRunError(f'{dockerfile} has no ENTRYPOINT ["...", ...] line: add one')
