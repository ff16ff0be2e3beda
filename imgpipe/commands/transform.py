"""`imgpipe transform`: Classifies a folder or an S3 prefix."""

from __future__ import annotations

from imgpipe.errors import CommandError


def transform() -> None:
    """Classifies a folder or an S3 prefix."""
    raise CommandError("not there yet")
