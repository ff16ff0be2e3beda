"""Answers a request that is refused, so that the answer arrives even where the client is still sending."""

from __future__ import annotations

import asyncio
import contextlib
import os

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve import answers
from serve.errors import BAD_REQUEST, TOO_LARGE, RefusedRequest

# A connection that is closed with bytes unread is reset, and the client may lose the answer. So what it still sends is
# read and thrown away, for a while.
LINGER_SECONDS = 2.0
LINGER_BYTES = 64 * 1024**2

# A transform job stores no answer where a request is refused, and then ends as failed. So where the environment says so
# a refusal that is about the image is an answer like any other; what is wrong with the job itself stays an error.
ANSWER_VARIABLE = "IMGPIPE_ANSWER_ERRORS"
ANSWERED = frozenset({BAD_REQUEST, TOO_LARGE})
OK = 200


class RefusalResponse(Response):
    """A refusal as JSON; where the body was not read to its end, the connection lingers and is then closed."""

    def __init__(self, error: RefusedRequest) -> None:
        closing = {"connection": "close"} if error.closes else {}
        headers = {"content-type": "application/json", **closing}
        answered = error.status in ANSWERED and os.environ.get(ANSWER_VARIABLE) == "true"
        super().__init__(answers.refusal(error), OK if answered else error.status, headers=headers)
        self._lingers = error.closes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer; with more to come where it lingers, so that the server does not close the connection."""
        if not self._lingers:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_discard(receive), LINGER_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _discard(receive: Receive) -> None:
    size = 0
    while size < LINGER_BYTES:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return
