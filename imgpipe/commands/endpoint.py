"""`imgpipe endpoint`: The endpoint of an environment."""

from __future__ import annotations

from imgpipe.errors import CommandError


def endpoint() -> None:
    """The endpoint of an environment."""
    raise CommandError("not there yet")
