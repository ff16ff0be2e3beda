"""The fleets of the local endpoint: their programs, their shares of the requests, and the handing on of a request."""

from __future__ import annotations

import http.client
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from local.endpoint.capture import Capture
from local.endpoint.program import ServeProgram
from local.endpoint.request_log import RequestLog
from local.endpoint.runtime_api import Answer, answered, model_error, validation_error

_NO_ANSWER: Final = 500  # how the service counts a container that broke the connection
_OK: Final = 200
_LOOK_SECONDS: Final = 0.2
# Before a container that has ended is started again: doubled from time to time, until it has lived for a while.
_FIRST_PAUSE_SECONDS: Final = 0.5
_LONGEST_PAUSE_SECONDS: Final = 30.0
_LIVED_SECONDS: Final = 60.0
_LOGGER: Final = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Fleet:
    """One program with what the endpoint needs to know of it; `shown` is said of it in the endpoint's status."""

    program: ServeProgram
    variant: str
    capture_percent: int
    log: Path
    shown: Mapping[str, Any]
    settled: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    reason: str | None = None  # why it will never answer
    restarts: int = 0  # of a container that answered once, as the service restarts them


class Fleets:
    """All fleets of one endpoint; safe to use from several threads; `changed` hears of new processes."""

    def __init__(self, *, endpoint: str, directory: Path, changed: Callable[[], None] = lambda: None) -> None:
        self.endpoint = endpoint
        self._changed = changed
        self.capture = Capture(directory / "capture", endpoint=endpoint)
        self.requests = RequestLog()
        self._fleets: dict[str, Fleet] = {}
        self._shares: dict[str, float] = {}
        self._lock = threading.Lock()

    def launch(self, fleet_id: str, request: Mapping[str, Any]) -> None:
        """Starts a fleet; `request` has command, environment, directory, log, variant, capture_percent and shown."""
        log = Path(request["log"])
        program = ServeProgram(
            request["command"], environment=request["environment"], directory=Path(request["directory"]), log=log
        )
        fleet = Fleet(
            program=program,
            variant=request["variant"],
            capture_percent=request["capture_percent"],
            log=log,
            shown=request["shown"],
        )
        with self._lock:
            self._fleets[fleet_id] = fleet
        threading.Thread(target=self._watch, args=(fleet,), daemon=True).start()

    def wait_ready(self, fleet_id: str) -> str | None:
        """Waits until a fleet answers; returns why it never will."""
        fleet = self._fleets[fleet_id]
        fleet.settled.wait()
        return fleet.reason

    def route(self, shares: Mapping[str, float]) -> None:
        """Splits the requests from now on."""
        with self._lock:
            self._shares = {fleet: share for fleet, share in shares.items() if fleet in self._fleets}

    def end(self, fleet_id: str) -> None:
        """Ends a fleet; unknown ones have ended already."""
        with self._lock:
            fleet = self._fleets.pop(fleet_id, None)
            self._shares.pop(fleet_id, None)
        if fleet:
            fleet.stop.set()
            fleet.program.end()

    def end_all(self) -> None:
        """Ends every fleet, all at once."""
        fleets = list(self._fleets)
        with ThreadPoolExecutor(max(1, len(fleets))) as pool:
            list(pool.map(self.end, fleets))

    def pids(self) -> list[int]:
        """The processes of all fleets."""
        with self._lock:
            return [fleet.program.pid for fleet in self._fleets.values()]

    def names(self) -> list[str]:
        """The ids of all fleets, those without requests among them."""
        with self._lock:
            return list(self._fleets)

    def serving(self) -> list[dict[str, Any]]:
        """What is said of the fleets that get requests: their shares, and how often they had to be restarted."""
        with self._lock:
            return [_said(fleet_id, self._fleets[fleet_id], share) for fleet_id, share in self._shares.items()]

    def invoke(self, headers: Mapping[str, str], body: bytes, *, received: float) -> Answer:
        """Hands a request, received at that time.monotonic(), to one of the fleets, by their shares."""
        with self._lock:
            if not self._shares:
                return validation_error(f"Endpoint {self.endpoint} is not in service.")
            [chosen] = random.choices(list(self._shares), weights=list(self._shares.values()))
            fleet = self._fleets[chosen]
        begun = time.monotonic()
        with self.requests.under_way(fleet.variant):
            status, answer = _asked(fleet, headers, body)
        model_seconds = time.monotonic() - begun
        if answer[0] == _OK:
            self._capture(fleet, headers, body, answer)
        overhead_seconds = time.monotonic() - received - model_seconds
        self.requests.answered(fleet.variant, status, model_seconds=model_seconds, overhead_seconds=overhead_seconds)
        return answer

    def _capture(self, fleet: Fleet, headers: Mapping[str, str], body: bytes, answer: Answer) -> None:
        try:
            self.capture.consider(
                percent=fleet.capture_percent,
                variant=fleet.variant,
                headers=headers,
                body=body,
                answer=answer[1:],
            )
        except OSError as error:  # as in the service, whoever asked gets the answer
            _LOGGER.warning("a request could not be captured: %s", error)

    def _watch(self, fleet: Fleet) -> None:
        """Waits until a container answers; later starts it again whenever it has ended."""
        try:
            fleet.reason = fleet.program.wait_ready(stop=fleet.stop)
        finally:
            fleet.settled.set()
        pause, begun = _FIRST_PAUSE_SECONDS, time.monotonic()
        while fleet.reason is None and not fleet.stop.wait(_LOOK_SECONDS):
            if fleet.program.running:
                continue
            pause = _FIRST_PAUSE_SECONDS if time.monotonic() - begun > _LIVED_SECONDS else pause
            _LOGGER.warning("the container has ended: started again in %g s, see %s", pause, fleet.log)
            if fleet.stop.wait(pause):
                return
            fleet.program.start()
            fleet.restarts += 1
            pause, begun = min(2 * pause, _LONGEST_PAUSE_SECONDS), time.monotonic()
            self._changed()


def _asked(fleet: Fleet, headers: Mapping[str, str], body: bytes) -> tuple[int, Answer]:
    """The status of a fleet's container and what the service makes of its answer."""
    try:
        container = fleet.program.send(headers, body)
    except (OSError, http.client.HTTPException) as error:
        message = f"the container did not answer: {error!r}"
        return _NO_ANSWER, model_error(_NO_ANSWER, message, log=str(fleet.log))
    return container[0], answered(container, variant=fleet.variant, log=str(fleet.log))


def _said(fleet_id: str, fleet: Fleet, share: float) -> dict[str, Any]:
    restarts = {"restarts": fleet.restarts} if fleet.restarts else {}
    return {**fleet.shown, "fleet": fleet_id, "share": share, **restarts}
