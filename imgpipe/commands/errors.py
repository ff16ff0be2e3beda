"""`imgpipe errors`: What went wrong lately."""

from __future__ import annotations

from imgpipe.errors import CommandError


def errors() -> None:
    """What went wrong lately."""
    raise CommandError("not there yet")
