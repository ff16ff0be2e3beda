"""Runs a container with Docker: built from the deployed image asset, without network, its root mounted at /opt/ml."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from local.assembly import ImageAsset
from local.containers.job import ContainerJob, Ended
from local.containers.stream import run_logged
from local.errors import LocalRunError

_ANSWER_SECONDS = 10


def docker_answers() -> bool:
    """Whether a Docker engine can be reached."""
    if shutil.which("docker") is None:
        return False
    try:
        done = subprocess.run(["docker", "version"], capture_output=True, timeout=_ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


class DockerRuntime:
    """Builds each image once and runs it as SageMaker does, isolation included."""

    name = "docker"

    def __init__(self, *, build_log: Path) -> None:
        self._build_log = build_log
        self._built: set[str] = set()
        self._lock = threading.Lock()

    def run(self, job: ContainerJob, *, on_line: Callable[[str], None], stop: threading.Event) -> Ended:
        """See `Runtime.run`; raises LocalRunError where the image cannot be built."""
        with self._lock:
            if job.image.tag not in self._built:
                self._build(job.image, on_line=on_line, stop=stop)
        exit_code = run_logged(
            run_command(job),
            environment=os.environ,
            directory=job.root,
            log=job.log,
            on_line=on_line,
            stop=stop,
        )
        # The client ends with 128 + n where signal n ended the container.
        return Ended(exit_code=128 - exit_code if exit_code in (137, 139, 143) else exit_code)

    def _build(self, image: ImageAsset, *, on_line: Callable[[str], None], stop: threading.Event) -> None:
        exit_code = run_logged(
            build_command(image),
            environment=os.environ,
            directory=image.directory,
            log=self._build_log,
            on_line=on_line,
            stop=stop,
        )
        if exit_code != 0:
            raise LocalRunError(f"docker could not build image {image.name}: see {self._build_log}")
        self._built.add(image.tag)


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
        "--network=none",
        "--platform=linux/amd64",
        f"--user={os.getuid()}:{os.getgid()}",
        f"--volume={job.root.resolve()}:/opt/ml",
        "--env=ML_ROOT=/opt/ml",
        *(f"--env={name}={value}" for name, value in sorted(job.environment.items())),
        *([f"--entrypoint={entrypoint[0]}"] if entrypoint else []),
        image_reference(job.image),
        *entrypoint[1:],
        *job.arguments,
    ]
