"""`imgpipe serve`: Serves a packaged model on this machine."""

from __future__ import annotations

from imgpipe.errors import CommandError


def serve() -> None:
    """Serves a packaged model on this machine."""
    raise CommandError("not there yet")
