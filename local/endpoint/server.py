"""The HTTP side of the local endpoint: InvokeEndpoint for everybody, control for those who have the secret."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.endpoint.fleets import Fleets
from local.endpoint.runtime_api import Answer, validation_error

TOKEN_HEADER: Final = "X-Imgpipe-Token"
_FORBIDDEN: Final = 403


class EndpointServer:
    """The routes of one endpoint; `last_used` is when it was asked last, by time.monotonic()."""

    def __init__(self, fleets: Fleets, *, token: str, changed: Callable[[], None], stop: Callable[[], None]) -> None:
        self._fleets, self._token, self._changed, self._stop = fleets, token, changed, stop
        self.last_used = time.monotonic()

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/endpoints/{name}/invocations", self._invoke, methods=["POST"]),
                Route("/control/status", self._status, methods=["GET"]),
                Route("/control/requests", self._requests, methods=["GET"]),
                Route("/control/fleets/{fleet}", self._launch, methods=["PUT"]),
                Route("/control/fleets/{fleet}", self._wait_ready, methods=["GET"]),
                Route("/control/fleets/{fleet}", self._end, methods=["DELETE"]),
                Route("/control/routes", self._route, methods=["PUT"]),
                Route("/control/stop", self._close, methods=["POST"]),
            ]
        )

    async def _invoke(self, request: Request) -> Response:
        self.last_used = received = time.monotonic()
        name, body = request.path_params["name"], await request.body()
        if name != self._fleets.endpoint:
            return _response(validation_error(f"Endpoint {name} of account 123456789012 not found."))
        return _response(await run_in_threadpool(self._fleets.invoke, dict(request.headers), body, received=received))

    async def _status(self, request: Request) -> Response:
        return self._allowed(request) or JSONResponse(
            {
                "endpoint": self._fleets.endpoint,
                "fleets": self._fleets.names(),
                "serving": self._fleets.serving(),
                "captured": self._fleets.capture.count,
                "idle_seconds": time.monotonic() - self.last_used,
            }
        )

    async def _requests(self, request: Request) -> Response:
        return self._allowed(request) or JSONResponse(
            self._fleets.requests.after(int(request.query_params.get("after", 0)))
        )

    async def _launch(self, request: Request) -> Response:
        if refused := self._allowed(request):
            return refused
        self.last_used = time.monotonic()
        content = json.loads(await request.body())
        await run_in_threadpool(self._fleets.launch, request.path_params["fleet"], content)
        self._changed()
        return JSONResponse({})

    async def _wait_ready(self, request: Request) -> Response:
        if refused := self._allowed(request):
            return refused
        reason = await run_in_threadpool(self._fleets.wait_ready, request.path_params["fleet"])
        return JSONResponse({"reason": reason})

    async def _end(self, request: Request) -> Response:
        if refused := self._allowed(request):
            return refused
        await run_in_threadpool(self._fleets.end, request.path_params["fleet"])
        self._changed()
        return JSONResponse({})

    async def _route(self, request: Request) -> Response:
        if refused := self._allowed(request):
            return refused
        self.last_used = time.monotonic()
        self._fleets.route(json.loads(await request.body()))
        return JSONResponse({})

    async def _close(self, request: Request) -> Response:
        if refused := self._allowed(request):
            return refused
        self._stop()
        return JSONResponse({})

    def _allowed(self, request: Request) -> Response | None:
        """The refusal of a request without the secret: control starts programs, and any page may ask a local port."""
        given: Any = request.headers.get(TOKEN_HEADER, "")
        same = hmac.compare_digest(given.encode(), self._token.encode())
        return None if same else JSONResponse({"message": "the control of an endpoint needs its token"}, _FORBIDDEN)


def _response(answer: Answer) -> Response:
    status, headers, body = answer
    return Response(body, status_code=status, headers=headers)
