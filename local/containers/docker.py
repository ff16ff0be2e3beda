"""Runs a container with Docker: built from the deployed image asset, without network, its root mounted at /opt/ml."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from local.assembly import ImageAsset
from local.containers.job import ContainerJob, Ended
from local.containers.stream import GRACE_SECONDS, run_logged
from local.errors import LocalRunError

_ANSWER_SECONDS: Final = 10
# The exit status of `docker run` itself: the engine refused, the command cannot be run, or is not there; beyond,
# 128 + n where signal n ended the container. https://docs.docker.com/engine/containers/run/#exit-status
_NOT_STARTED: Final = frozenset({125, 126, 127})
_SIGNALLED: Final = range(129, 129 + 64)


def docker_silence() -> str | None:
    """Why no Docker engine can be reached, in one line; None where one answers."""
    if shutil.which("docker") is None:
        return "there is no command docker"
    try:
        # Fails without an engine, other than the command's own `docker --version`.
        done = subprocess.run(
            ["docker", "version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_ANSWER_SECONDS:g} s"
    if done.returncode == 0:
        return None
    return " ".join(done.stderr.split()) or f"docker version ended with {done.returncode}"


class DockerRuntime:
    """Builds each image once and runs it as SageMaker does, isolation included."""

    name = "docker"

    def __init__(self, *, build_log: Path, grace_seconds: float = GRACE_SECONDS) -> None:
        self._build_log = build_log
        self._grace_seconds = grace_seconds
        self._built: set[str] = set()
        self._lock = threading.Lock()

    def run(self, job: ContainerJob, *, on_line: Callable[[str], None], stop: threading.Event) -> Ended:
        """See `Runtime.run`; raises LocalRunError where Docker cannot build or start the container."""
        with self._lock:
            if job.image.tag not in self._built and not stop.is_set():
                self._build(job.image, on_line=on_line, stop=stop)
        exit_code = self._docker(run_command(job), job.root, job.log, on_line, stop)
        if stop.is_set():
            # The client may have been killed before it could hand the signal on.
            subprocess.run(["docker", "rm", "--force", job.name], capture_output=True, check=False)
        if exit_code in _NOT_STARTED:
            raise LocalRunError(f"docker could not start the container of image {job.image.name}: see {job.log}")
        return Ended(exit_code=128 - exit_code if exit_code in _SIGNALLED else exit_code)

    def _build(self, image: ImageAsset, *, on_line: Callable[[str], None], stop: threading.Event) -> None:
        if self._docker(build_command(image), image.directory, self._build_log, on_line, stop) != 0:
            raise LocalRunError(f"docker could not build image {image.name}: see {self._build_log}")
        self._built.add(image.tag)

    def _docker(
        self, command: list[str], directory: Path, log: Path, on_line: Callable[[str], None], stop: threading.Event
    ) -> int:
        return run_logged(
            command,
            environment=os.environ,
            directory=directory,
            log=log,
            on_line=on_line,
            stop=stop,
            grace_seconds=self._grace_seconds,
        )


def image_reference(image: ImageAsset) -> str:
    """The local name of an image: its asset hash makes it exact."""
    return f"imgpipe-{image.name}:{image.tag}"


def build_command(image: ImageAsset) -> list[str]:
    """The `docker build` of an image asset, for the platform that SageMaker runs."""
    return [
        "docker",
        "build",
        "--platform=linux/amd64",
        f"--file={image.dockerfile}",
        *([f"--target={image.target}"] if image.target else []),
        f"--tag={image_reference(image)}",
        ".",
    ]


def run_command(job: ContainerJob) -> list[str]:
    """The `docker run` of a job; files come out owned by the caller, who otherwise could not remove them."""
    entrypoint = list(job.entrypoint or [])
    return [
        "docker",
        "run",
        "--rm",
        "--init",
        f"--name={job.name}",
        # A port can be reached through a network only.
        "--network=none" if job.port is None else f"--publish=127.0.0.1:{job.port}:{job.port}",
        "--platform=linux/amd64",
        f"--user={os.getuid()}:{os.getgid()}",
        f"--volume={job.root.resolve()}:/opt/ml",
        "--env=ML_ROOT=/opt/ml",
        "--env=HOME=/tmp",  # the caller's user has none in the image
        *(f"--env={name}={value}" for name, value in sorted(job.environment.items())),
        *([f"--entrypoint={entrypoint[0]}"] if entrypoint else []),
        image_reference(job.image),
        *entrypoint[1:],
        *job.arguments,
    ]
