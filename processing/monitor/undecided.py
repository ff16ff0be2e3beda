"""undecided.txt: the mark of a window without a verdict, which is part of the next one."""

from __future__ import annotations

from monitor.findings import TOO_FEW, Findings

FILE = "undecided.txt"


def undecided_text(findings: Findings) -> str:
    """Return why there is no verdict, in one line; nothing where there is one.

    The file is written in both cases: a run that is repeated overwrites what the earlier one said. Whoever chooses the
    next window sees by the size of the object whether it says anything.
    """
    if findings.verdict != TOO_FEW:
        return ""
    found, needed = len(findings.collection.samples), findings.options.min_records
    return f"{found} of {needed} distinct images since {findings.window.undecided_since}\n"
