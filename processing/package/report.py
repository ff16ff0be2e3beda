"""The section of report.html about the served model."""

from __future__ import annotations

from common.contract import ContainerError
from evaluate.report import template
from package.convert import Converted
from package.parity import TOLERANCE
from package.precision import INT8
from package.scores import accuracy

# The comment of the evaluation's template where the section belongs. Names from the data are escaped, so none is it.
PLACE = "<!-- served model -->"


def with_served_model(report: str, found: Converted, *, trained_bytes: int) -> str:
    """Return the page of an evaluation with the section in its place.

    ``trained_bytes`` is the size of the training artifact. ContainerError where the page has no such place.
    """
    if report.count(PLACE) != 1:
        raise ContainerError(f"report.html has no place {PLACE} for the served model: run the evaluation again")
    chosen = found.chosen
    section = template("sections/served_model.html.j2").render(
        requested=chosen.requested,
        precision=chosen.precision,
        int8=INT8,
        reason=chosen.reason,
        trained_accuracy=accuracy(found.trained),
        trained_bytes=trained_bytes,
        fp32_accuracy=accuracy(found.fp32),
        fp32_bytes=found.fp32_bytes,
        int8_accuracy=None if chosen.int8 is None else accuracy(chosen.int8),
        int8_bytes=chosen.int8_bytes,
        parity=found.parity,
        tolerance=TOLERANCE,
    )
    return report.replace(PLACE, section.strip())
