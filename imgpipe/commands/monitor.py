"""`imgpipe monitor`: Compares what the endpoint saw with what its model was tested on."""

from __future__ import annotations

from imgpipe.errors import CommandError


def monitor() -> None:
    """Compares what the endpoint saw with what its model was tested on."""
    raise CommandError("not there yet")
