"""The ASGI application: routes, and an answer in JSON for everything that goes wrong."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from serve import answers
from serve.access import AccessLog
from serve.errors import SERVER_ERROR, RefusedRequest
from serve.handlers import Handlers
from serve.refusal import RefusalResponse

CODES = {404: "not_found", 405: "method_not_allowed"}


def application(handlers: Handlers) -> Starlette:
    """Return the application that answers with ``handlers``."""
    return Starlette(
        routes=[
            Route("/ping", handlers.ping, methods=["GET"]),
            Route("/execution-parameters", handlers.execution_parameters, methods=["GET"]),
            Route("/invocations", handlers.invocations, methods=["POST"]),
        ],
        middleware=[Middleware(AccessLog)],
        exception_handlers={
            RefusedRequest: _refused,
            HTTPException: _no_such_route,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedRequest)
    request.state.code = error.code
    return RefusalResponse(error)


async def _no_such_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODES.get(error.status_code, "refused")
    message = f"{request.method} {request.url.path[:100]}: use GET /ping or POST /invocations"
    return await _refused(request, RefusedRequest(code, message, status=error.status_code, closes=True))


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads this answer; it only ends the request in the log."""
    return await _refused(request, RefusedRequest("disconnected", "the client has gone"))


async def _failed(request: Request, error: Exception) -> Response:
    """The error itself goes to the server's log, with its traceback; the client learns nothing of the insides."""
    refusal = RefusedRequest("internal_error", "the request could not be carried out: see the endpoint's log")
    return Response(answers.refusal(refusal), SERVER_ERROR, headers={"content-type": "application/json"})
