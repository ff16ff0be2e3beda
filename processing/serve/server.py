"""Binds the port, and runs the application until a signal says to stop; requests that have begun are answered."""

from __future__ import annotations

import os
import signal
import socket
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from common.contract import ContainerError
from serve.access import log

PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"
DEFAULT_PORT = 8080
LAST_PORT = 65535
# SageMaker kills the container 30 seconds after SIGTERM.
# Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
DRAIN_SECONDS = 25
BACKLOG = 2048
# Longer than the pool of whoever is in front keeps a connection idle: else it sends into a connection just closed.
KEEP_ALIVE_SECONDS = 75


def bind(host: str) -> socket.socket:
    """Take the port of $SAGEMAKER_BIND_TO_PORT, 8080 without it, 0 for any; ContainerError where it is taken.

    Nothing listens yet, so that health checks fail until the model is loaded.
    """
    text = os.environ.get(PORT_VARIABLE) or str(DEFAULT_PORT)
    if not (text.isascii() and text.isdigit() and int(text) <= LAST_PORT):
        raise ContainerError(f"{PORT_VARIABLE} must be a port from 0 to {LAST_PORT}, got {text!r}")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, int(text)))
    except OSError as error:
        bound.close()
        reason = error.strerror or str(error)
        raise ContainerError(f"port {text} of {host} cannot be used: {reason}; choose another port") from None
    return bound


def run_server(app: Starlette, bound: socket.socket) -> None:
    """Answer requests until SIGTERM, which ends with 0, or SIGINT, which raises KeyboardInterrupt."""
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = _Server(config)

    def stop(signum: int, frame: FrameType | None) -> None:
        # uvicorn raises the signal again once it has drained; a signal that comes before it listens ends it here.
        if not server.should_exit:
            raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    server.run(sockets=[bound])
    log("stopped")


class _Server(uvicorn.Server):
    """A server that tells its port once it listens, for whoever asked for any free one."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        host, port = (sockets or [])[0].getsockname()[:2]
        log("listening", host=host, port=port)
