"""endpoint.json: which processes a local endpoint has and where it listens; outlived records are recognised."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from local.errors import LocalRunError
from local.files import write_whole

SCHEMA_VERSION: Final = 1
NAME: Final = "endpoint.json"
_TOLERANCE_SECONDS: Final = 1.0  # of a process's start time, which the system rounds
# More than the host takes: for the requests that have begun, then for its programs, all at once.
_GRACE_SECONDS: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class ProcessMark:
    """A process by its number and its start, for numbers are given again."""

    pid: int
    started: float  # seconds since the epoch

    @classmethod
    def of(cls, pid: int) -> ProcessMark:
        """The mark of a running process."""
        return cls(pid=pid, started=psutil.Process(pid).create_time())

    def process(self) -> psutil.Process | None:
        """The process, where it still runs."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True, kw_only=True)
class EndpointRecord:
    """A local endpoint: its host process, its programs, and the secret that its control needs."""

    name: str
    host: ProcessMark
    port: int
    token: str
    programs: tuple[ProcessMark, ...] = ()

    @property
    def url(self) -> str:
        """The endpoint URL for boto3's sagemaker-runtime."""
        return f"http://127.0.0.1:{self.port}"

    def write(self, directory: Path) -> None:
        """Writes endpoint.json, for its owner's eyes."""
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o700)
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        write_whole(directory / NAME, f"{json.dumps(content, indent=2)}\n".encode())

    def end(self) -> None:
        """Ends the host, which ends its programs; what it left behind is ended by its number."""
        if host := self.host.process():
            with contextlib.suppress(psutil.NoSuchProcess):
                host.terminate()
                _await_end(host)
        for mark in self.programs:
            if program := mark.process():
                with contextlib.suppress(psutil.NoSuchProcess):
                    program.kill()


def read_record(directory: Path) -> EndpointRecord | None:
    """The record of a directory, running or not; None where there is none.

    Raises LocalRunError for one of another format.
    """
    path = directory / NAME
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema_version") != SCHEMA_VERSION:
            raise ValueError("its format is of another imgpipe")
        programs = tuple(ProcessMark(**item) for item in content.pop("programs"))
        return EndpointRecord(**{**content, "host": ProcessMark(**content["host"]), "programs": programs})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LocalRunError(f"{path} cannot be read ({error}): remove it, and end its processes if they run") from error


def live_record(directory: Path) -> EndpointRecord | None:
    """The record of an endpoint that runs; one that was killed is tidied up after, and is none."""
    record = read_record(directory)
    if record is None or record.host.process():
        return record
    record.end()
    (directory / NAME).unlink(missing_ok=True)
    return None


def forget(directory: Path, *, pid: int) -> None:
    """Removes the record of a host that ends; that of another one, which has taken its place, stays."""
    record = read_record(directory)
    if record and record.host.pid == pid:
        (directory / NAME).unlink(missing_ok=True)


def _await_end(process: psutil.Process) -> None:
    try:
        process.wait(_GRACE_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
