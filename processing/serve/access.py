"""Log lines: one JSON object each, so that CloudWatch's queries find their fields."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

OK, ERRORS_FROM = 200, 500
LOGGER = logging.getLogger("serve")


class _OneLine(logging.Formatter):
    """A record as JSON: time, level, event, its fields, and the traceback of an error."""

    def format(self, record: logging.LogRecord) -> str:
        content: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": " ".join(record.getMessage().split()),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content)


def set_up_logging() -> None:
    """Send every logger's lines to standard output; of the server's own only what is wrong."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_OneLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(logging.INFO)


def log(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Write one line."""
    LOGGER.log(level, event, extra={"fields": fields})


class AccessLog:
    """Logs each request's status and time; health checks, which come every few seconds, only where they fail."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything through and look at the status."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = ERRORS_FROM
        start = time.perf_counter()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            if scope["path"] != "/ping" or status != OK:
                _log_request(scope, status, 1000 * (time.perf_counter() - start))


def _log_request(scope: Scope, status: int, milliseconds: float) -> None:
    state = scope.get("state", {})
    log(
        "request",
        level=logging.ERROR if status >= ERRORS_FROM else logging.INFO,
        method=scope["method"],
        path=scope["path"][:100],
        status=status,
        milliseconds=round(milliseconds, 1),
        **{name: state[name] for name in ("images", "code") if name in state},
    )
