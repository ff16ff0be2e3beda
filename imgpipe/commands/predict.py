"""`imgpipe predict`: Labels for images, from the environment's endpoint."""

from __future__ import annotations

from imgpipe.errors import CommandError


def predict() -> None:
    """Labels for images, from the environment's endpoint."""
    raise CommandError("not there yet")
