"""Starts the process of a local endpoint and controls it."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from local.endpoint.record import EndpointRecord, live_record, read_record
from local.endpoint.server import TOKEN_HEADER
from local.errors import LocalRunError

_START_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_ANSWER_SECONDS: Final = 120.0  # a fleet may take as long to become ready
_OK: Final = 200
_ROOT: Final = Path(__file__).resolve().parents[2]


class EndpointControl:
    """A running local endpoint; `directory` has its files."""

    def __init__(self, record: EndpointRecord, directory: Path) -> None:
        self.record = record
        self._directory = directory
        self._answered = 0  # requests that `served` has told of
        self._looked: float | None = None  # when it did so last, by time.monotonic()

    def status(self) -> dict[str, Any]:
        """endpoint, fleets (all of them), serving (those that get requests, with shares), captured, idle_seconds."""
        return self._ask("GET", "/control/status")

    def served(self) -> list[dict[str, Any]]:
        """The requests that were answered since the last call, and those that have been under way since before it.

        The first call tells of those that the endpoint still knows. Their fields: see `RequestLog.after`.
        """
        now = time.monotonic()
        told = self._ask("GET", f"/control/requests?after={self._answered}")
        self._answered = told["count"]
        since = math.inf if self._looked is None else now - self._looked
        self._looked = now
        waiting = [item for item in told["under_way"] if item["model_seconds"] >= since]
        return [*told["answered"], *waiting]

    def launch(self, fleet: str, request: Mapping[str, Any]) -> None:
        """Starts a fleet, see `Fleets.launch`."""
        self._ask("PUT", f"/control/fleets/{fleet}", request)

    def wait_ready(self, fleet: str) -> str | None:
        """Waits until a fleet answers; returns why it never will."""
        reason: str | None = self._ask("GET", f"/control/fleets/{fleet}")["reason"]
        return reason

    def end(self, fleet: str) -> None:
        """Ends a fleet."""
        self._ask("DELETE", f"/control/fleets/{fleet}")

    def route(self, shares: Mapping[str, float]) -> None:
        """Splits the requests."""
        self._ask("PUT", "/control/routes", shares)

    def stop(self) -> None:
        """Ends the endpoint with all of its processes, and waits for that."""
        now = read_record(self._directory)  # other programs run than when this object was made
        (now if now and now.host == self.record.host else self.record).end()

    def invoke(self, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """InvokeEndpoint, as it came."""
        return self._request("POST", f"/endpoints/{self.record.name}/invocations", headers, body)

    def _ask(self, method: str, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        headers = {TOKEN_HEADER: self.record.token}
        status, _, body = self._request(method, path, headers, b"" if content is None else json.dumps(content).encode())
        if status != _OK:
            raise LocalRunError(f"the local endpoint {self.record.name} answered {status} to {path}: see its host.log")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.record.port, timeout=_ANSWER_SECONDS)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, body=body, headers=dict(headers))
                answer = connection.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise LocalRunError(f"the local endpoint {self.record.name} does not answer: {error!r}") from error


def running(directory: Path) -> EndpointControl | None:
    """The endpoint of a directory, where it runs."""
    record = live_record(directory)
    return EndpointControl(record, directory) if record else None


def start(directory: Path, *, name: str, idle_seconds: float) -> EndpointControl:
    """Starts the process of an endpoint, which outlives this one, and waits until it listens.

    Raises LocalRunError where it does not.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = directory / "host.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "local.endpoint.host", str(directory.resolve()), name, str(idle_seconds)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if (found := running(directory)) and found.record.host.pid == process.pid:
            return found
        time.sleep(_POLL_SECONDS)
    process.kill()
    raise LocalRunError(f"the local endpoint {name} did not start: see {log}")
