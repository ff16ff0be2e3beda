"""The error that a client gets as a 4xx answer."""

from __future__ import annotations

from typing import Final

BAD_REQUEST: Final = 400
REQUEST_TIMEOUT: Final = 408
TOO_LARGE: Final = 413
UNSUPPORTED_MEDIA_TYPE: Final = 415
SERVER_ERROR: Final = 500
SERVICE_UNAVAILABLE: Final = 503


class RefusedRequest(Exception):
    """Why a request is not carried out: HTTP status, a code for programs, and one line for people.

    ``index`` is the place of the image in a list that the reason is about, from 0; None for the request itself.
    """

    def __init__(
        self, code: str, message: str, *, status: int = BAD_REQUEST, index: int | None = None, closes: bool = False
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.index = index
        # Whether the rest of the request's body is unread, so that no other request can follow on the connection.
        self.closes = closes

    def of_image(self, index: int) -> RefusedRequest:
        """Return the same reason, which names the image's place in its list."""
        return RefusedRequest(self.code, f"image {index} of the list: {self.message}", status=self.status, index=index)
