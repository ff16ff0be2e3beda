"""Lines of text on a console, as they are: no markup, no highlighting, no folding."""

from __future__ import annotations

from rich.console import Console


def say(console: Console, text: str) -> None:
    """Prints a line as it is."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)
