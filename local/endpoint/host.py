"""The process of a local endpoint: `python -m local.endpoint.host DIRECTORY NAME IDLE_SECONDS`.

It listens on loopback, writes endpoint.json once it does, and ends by itself when nobody has asked it for a while.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

import uvicorn

from local.endpoint.fleets import Fleets
from local.endpoint.record import NAME, EndpointRecord, ProcessMark
from local.endpoint.server import EndpointServer

_LOOK_SECONDS: Final = 1.0


def main(directory: Path, name: str, idle_seconds: float) -> None:
    """Serves until SIGTERM, a stop by control, or `idle_seconds` without a request; then ends every program."""
    fleets, token = Fleets(endpoint=name, directory=directory), secrets.token_urlsafe()
    listener = socket.create_server(("127.0.0.1", 0))

    def record() -> None:
        EndpointRecord(
            name=name,
            host=ProcessMark.of(os.getpid()),
            port=listener.getsockname()[1],
            token=token,
            programs=tuple(ProcessMark.of(pid) for pid in fleets.pids()),
        ).write(directory)

    endpoint = EndpointServer(fleets, token=token, changed=record, stop=lambda: setattr(server, "should_exit", True))
    server = uvicorn.Server(uvicorn.Config(endpoint.app(), log_level="warning", timeout_graceful_shutdown=10))
    threading.Thread(target=_end_when_idle, args=(endpoint, server, idle_seconds), daemon=True).start()
    # uvicorn raises the signal that stopped it once more when it is done, which would end this process too early.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    record()
    try:
        server.run(sockets=[listener])
    finally:
        fleets.end_all()
        (directory / NAME).unlink(missing_ok=True)


def _end_when_idle(endpoint: EndpointServer, server: uvicorn.Server, idle_seconds: float) -> None:
    while time.monotonic() - endpoint.last_used < idle_seconds:
        time.sleep(min(_LOOK_SECONDS, idle_seconds))
    server.should_exit = True


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
