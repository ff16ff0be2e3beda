"""Reads a request's body, of which no more than the limit is ever held."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from serve.errors import REQUEST_TIMEOUT, TOO_LARGE, RefusedRequest
from serve.limits import BODY_SECONDS

LARGEST_LENGTH_DIGITS = 18


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the body; RefusedRequest where it has more than ``limit`` bytes, declared or not, or does not come."""
    declared = request.headers.get("content-length", "0")
    if len(declared) > LARGEST_LENGTH_DIGITS or int(declared) > limit:
        raise _too_large(limit)
    try:
        return await asyncio.wait_for(_read(request, limit), BODY_SECONDS)
    except asyncio.TimeoutError:
        message = f"the body was not here after {BODY_SECONDS:g} seconds: send it again"
        raise RefusedRequest("timeout", message, status=REQUEST_TIMEOUT, closes=True) from None


async def _read(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> RefusedRequest:
    message = f"the body is larger than the limit of {limit} bytes: send a smaller image, or fewer"
    return RefusedRequest("too_large", message, status=TOO_LARGE, closes=True)
