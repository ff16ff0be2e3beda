"""What a run of the benchmark found, as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.rounds import Entry

MEBIBYTE = 1024**2


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured value beside its target: at least ``target``, or below it with ``below``; None: for information."""

    name: str
    value: float
    target: float | None = None
    below: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        return self.value < self.target if self.below else self.value >= self.target

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {**asdict(self), "met": self.met}

    def line(self) -> str:
        """Return name, value, target, yes or no."""
        if self.target is None:
            return f"  {self.name:<66} {self.value:>9.2f}"
        bound = "below" if self.below else "at least"
        return f"  {self.name:<66} {self.value:>9.2f}   {bound} {self.target:g}: {'yes' if self.met else 'no'}"


@dataclass(kw_only=True)
class Result:
    """One workload: what was packed, by whom at what cost, and the figures that follow."""

    workload: str
    what: str
    entries: list[Entry] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return everything, each round included."""
        return {
            "what": self.what,
            "contestants": [entry.as_json() for entry in self.entries],
            "figures": [figure.as_json() for figure in self.figures],
            **self.details,
        }

    def text(self) -> str:
        """Return a table of the contestants and a line for each figure."""
        lines = [f"{self.workload}: {self.what}"]
        if self.entries:
            lines.append(f"  {'':<40} {'':<20} {'images/s':>9} {'CPU s':>8} {'peak MiB':>9}")
        lines += [_row(entry) for entry in self.entries]
        lines += [figure.line() for figure in self.figures]
        return "\n".join(lines)


def _row(entry: Entry) -> str:
    peak = f"{entry.peak_bytes / MEBIBYTE:>9.0f}" if entry.peak_bytes else f"{'':>9}"
    return f"  {entry.contestant.name:<40} {entry.job.what:<20} {entry.rate:>9.1f} {entry.cpu_seconds:>8.2f} {peak}"


def markdown(content: Mapping[str, Any]) -> str:
    """Return the figures of a JSON file that have a target as the table of the documentation."""
    lines = ["| Workload | Figure | Measured | Target | Met |", "|---|---|---|---|---|"]
    for workload, result in content["workloads"].items():
        for figure in result["figures"]:
            if figure["target"] is not None:
                bound = f"{'below' if figure['below'] else 'at least'} {figure['target']:g}"
                met = "yes" if figure["met"] else "no"
                lines.append(f"| `{workload}` | {figure['name']} | {figure['value']:.2f} | {bound} | {met} |")
    return "\n".join(lines)


def summary(results: Sequence[Result]) -> str:
    """Return how many targets are met, and name the others."""
    figures = [(result.workload, figure) for result in results for figure in result.figures if figure.met is not None]
    missed = [f"{workload}: {figure.name}" for workload, figure in figures if not figure.met]
    text = f"{len(figures) - len(missed)} of {len(figures)} targets met"
    return "\n  missed: ".join([text, *missed])
