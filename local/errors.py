"""The error that a person at the command line can act on."""

from __future__ import annotations

import errno


class LocalRunError(Exception):
    """One line naming the thing, what is allowed, and the way out."""


def explain_os_error(error: OSError) -> str:
    """What the operating system refused, as one line with the file's name where it is known."""
    what = error.filename or "a file"
    if error.errno == errno.ENOSPC:
        return f"disk full while writing {what}: free some space and run again"
    return f"{what}: {error.strerror or error}"
