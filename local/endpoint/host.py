"""The process of a local endpoint: `python -m local.endpoint.host DIRECTORY NAME IDLE_SECONDS`.

It listens on loopback, writes endpoint.json once it does, and ends by itself when nobody has asked it for a while.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import uvicorn

from local.endpoint.fleet_files import remove_all_files
from local.endpoint.fleets import Fleets
from local.endpoint.record import EndpointRecord, ProcessMark, forget
from local.endpoint.server import EndpointServer


def main(directory: Path, name: str, idle_seconds: float) -> None:
    """Serves until SIGTERM, a stop by control, or `idle_seconds` without a request; then ends every program."""
    token, writing = secrets.token_urlsafe(), threading.Lock()
    listener = socket.create_server(("127.0.0.1", 0))

    def record() -> None:
        with writing:
            EndpointRecord(
                name=name,
                host=ProcessMark.of(os.getpid()),
                port=listener.getsockname()[1],
                token=token,
                programs=marks(fleets.pids()),
            ).write(directory)

    def stop() -> None:
        server.should_exit = True

    def end_when_idle() -> None:
        wait_until_idle(lambda: endpoint.last_used, idle_seconds)
        stop()

    fleets = Fleets(endpoint=name, directory=directory, changed=record)
    endpoint = EndpointServer(fleets, token=token, changed=record, stop=stop)
    server = uvicorn.Server(uvicorn.Config(endpoint.app(), log_level="warning", timeout_graceful_shutdown=10))
    # uvicorn raises the signal that stopped it once more when it is done, which would end this process too early.
    signal.signal(signal.SIGTERM, lambda number, frame: stop())
    threading.Thread(target=end_when_idle, daemon=True).start()
    record()
    try:
        server.run(sockets=[listener])
    finally:
        fleets.end_all()
        remove_all_files(directory)
        forget(directory, pid=os.getpid())


def marks(pids: Iterable[int]) -> tuple[ProcessMark, ...]:
    """The marks of those processes that have not ended meanwhile."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(ProcessMark.of(pid))
    return tuple(found)


def wait_until_idle(
    last_used: Callable[[], float],
    idle_seconds: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Returns when `idle_seconds` have passed since `last_used`, a time of `clock` that may move on meanwhile."""
    while (left := last_used() + idle_seconds - clock()) > 0:
        sleep(left)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
