"""The name by which a person calls this program, for hints that can be copied."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "imgpipe"


def program() -> str:
    """How the program was called: `imgpipe` where PATH leads to it, else its path, relative below this folder.

    Where something else runs this code, as a test or `python -m imgpipe`, it is `imgpipe`.
    """
    called = Path(sys.argv[0])
    if called.name != NAME or not called.is_file():
        return NAME
    found = shutil.which(NAME)
    if found is not None and Path(found).samefile(called):
        return NAME
    path, here = called.absolute(), Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def hint(arguments: str) -> str:
    """A command line to copy: "models --local" becomes "imgpipe models --local", with the program as it was called."""
    return f"{program()} {arguments}"
