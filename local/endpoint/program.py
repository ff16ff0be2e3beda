"""One serve container as a process: started on a free port, pinged until it answers, ended with all it started."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1
_GRACE_SECONDS: Final = 10.0
_ANSWER_SECONDS: Final = 60.0  # what sagemaker-runtime gives a container
_OK: Final = 200
_REASON_CHARACTERS: Final = 300
_LOOPBACK: Final = "127.0.0.1"
# Headers that belong to one connection, not to the request or answer itself: RFC 9110, 7.6.1.
HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "host", "content-length"}
)


class ServeProgram:
    """A running container that serves a model; SageMaker tells it its port by SAGEMAKER_BIND_TO_PORT."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], directory: Path, log: Path) -> None:
        self.port = _free_port()
        self._command, self._directory, self._log = command, directory, log
        self._environment = {**environment, "SAGEMAKER_BIND_TO_PORT": str(self.port)}
        self._lock = threading.Lock()
        self._ending = False
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether the program has not ended."""
        return self._process.poll() is None

    def start(self) -> None:
        """Starts the program again, on its port, where it has ended without being told to."""
        with self._lock:
            if not self._ending and not self.running:
                _kill_group(self._process)
                self._process = self._started()

    @property
    def pid(self) -> int:
        """The number of the process, which leads a group of its own."""
        return self._process.pid

    def wait_ready(self, *, stop: threading.Event) -> str | None:
        """Pings until the container answers; returns why it does not where it ends, is stopped or takes too long."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if self._process.poll() is not None:
                return f"The container ended with exit code {self._process.returncode}: {self._last_line()}"
            if self._pings():
                return None
            if stop.wait(_POLL_SECONDS):
                return "The endpoint was stopped"
        return f"The container did not pass its ping health check within {_START_SECONDS:g} s: {self._last_line()}"

    def send(self, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """POSTs to /invocations; raises OSError or http.client.HTTPException where the container does not answer."""
        connection = http.client.HTTPConnection(_LOOPBACK, self.port, timeout=_ANSWER_SECONDS)
        with contextlib.closing(connection):
            sent = {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
            connection.request("POST", "/invocations", body=body, headers=sent)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
            return answer.status, kept, answer.read()

    def end(self) -> None:
        """SIGTERM, so that it answers what it has begun; later SIGKILL to the whole group."""
        with self._lock:
            self._ending = True
        if self._process.poll() is None:
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_SECONDS)
        _kill_group(self._process)
        self._process.wait()

    def _pings(self) -> bool:
        connection = http.client.HTTPConnection(_LOOPBACK, self.port, timeout=_START_SECONDS)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/ping")
                return connection.getresponse().status == _OK
            except (OSError, http.client.HTTPException):
                return False  # it does not listen yet

    def _last_line(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it wrote nothing")[:_REASON_CHARACTERS]


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Ends what a program left behind, as a container's processes go with it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind((_LOOPBACK, 0))
        return int(sock.getsockname()[1])
