"""Runs the server's own program beside the caller, on a port of this machine that nobody else can reach."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.contract import ContainerError
from serve.server import DRAIN_SECONDS, PORT_VARIABLE

START_SECONDS = 120.0
STOP_SECONDS = DRAIN_SECONDS + 5.0


@contextmanager
def running_server(root: Path) -> Iterator[int]:
    """Serve the model in ``root``/model while open; gives the port.

    ContainerError with the server's own reason where it does not start, or does not end cleanly when told to.
    """
    environment = os.environ | {"ML_ROOT": str(root), PORT_VARIABLE: "0"}
    command = [sys.executable, "-m", "serve", "serve", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # Its start may hang, and reading a pipe has no timeout.
    guard = threading.Timer(START_SECONDS, process.kill)
    guard.start()
    try:
        port = _port(process)
        guard.cancel()
        yield port
        _stop(process)
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    assert process.stderr
    for line in process.stdout:
        try:
            content = json.loads(line)
        except ValueError:
            continue  # a library's own words
        if content.get("event") == "listening":
            return int(content["port"])
    reason = process.stderr.read().strip().splitlines()
    raise ContainerError(f"the server did not start: {reason[-1] if reason else 'it was killed or hung'}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        _, error = process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        raise ContainerError(f"the server was still running {STOP_SECONDS:g} seconds after SIGTERM") from None
    if process.returncode:
        raise ContainerError(f"the server ended with {process.returncode} after SIGTERM: {error.strip()[-200:]}")
