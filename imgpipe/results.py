"""The tables that commands end with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgpipe.versions import Difference, ModelVersion

_MEBIBYTE = 2**20
_UNFOLDED = 10_000  # columns
_LONGEST_VALUE = 8  # characters
_LONGEST_CELL = 60  # characters
# What tells a person nothing but that it differs: hashes, addresses in S3 and of images.
_OPAQUE: Final = re.compile(r"(sha256:)?[0-9a-f]{64}|s3://.*|[^ /]+\.dkr\.ecr\..*")
# The gate that has nothing to say where nothing was compared.
_AGAINST_CHAMPION = "champion.worse_by"
_SHOWN_METRICS = ("accuracy", "top_k_accuracy", "macro_f1", "worst_class_recall", "roc_auc", "log_loss")


def print_summary(console: Console, summary: dict[str, Any], directory: Path) -> None:
    """What a local run came to; `directory` is the run's own."""
    table = Table(title="Result", title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for heading, value in _rows(summary, directory):
        table.add_row(heading, Text(value))
    print_table(console, table)


def _rows(summary: dict[str, Any], directory: Path) -> Iterator[tuple[str, str]]:
    yield "Status", summary["status"]
    if dataset := summary["dataset"]:
        counts = ", ".join(f"{split} {dataset['counts'][split]}" for split in ("train", "validation", "test"))
        yield "Data", f"{len(dataset['classes'])} classes; {counts}; rejected {dataset['rejected']}"
    for name in _SHOWN_METRICS if summary["metrics"] else ():
        if (value := summary["metrics"].get(name)) is not None and _tells(name, summary):
            yield name.replace("_", " ").capitalize(), f"{value:.4f}"
    if tuning := summary["tuning"]:
        chosen = ", ".join(f"{name} {_short(value)}" for name, value in tuning["best_hyperparameters"].items())
        yield "Tuning", f"{tuning['trials']} trials; best {tuning['objective']} {tuning['best_value']:.4f}: {chosen}"
    for gate in summary["gates"]:
        if gate["metric"] != _AGAINST_CHAMPION or _is_compared(summary["champion"]):
            yield "Gate", _gate(gate)
    if champion := summary["champion"]:
        yield "Champion", _champion(champion)
    if package := summary["model_package"]:
        yield "Model package", package["arn"]
        yield "Approval", package["approval_status"]
    yield "Time", f"{summary['seconds']:.0f} s, peak memory {summary['peak_memory_bytes'] / _MEBIBYTE:.0f} MiB"
    report = directory / "report.html"
    yield "Report" if report.exists() else "Files", str(report if report.exists() else directory)


def _tells(metric: str, summary: dict[str, Any]) -> bool:
    """Whether a metric says anything: of k classes, the right one is always among the first k."""
    return not (metric == "top_k_accuracy" and summary["top_k"] == len(summary["dataset"]["classes"]))


def _gate(gate: dict[str, Any]) -> str:
    verdict = "passed" if gate["passed"] else "not passed"
    metric = "worse than the champion by up to" if gate["metric"] == _AGAINST_CHAMPION else gate["metric"]
    return f"{verdict}: {metric} {gate['value']:.4f}, {gate['direction']} {gate['threshold']:g}"


def _is_compared(champion: dict[str, Any] | None) -> bool:
    return champion is not None and champion["difference"] is not None


def _champion(champion: dict[str, Any]) -> str:
    version = f"version {champion['version']}, the newest approved"
    if not _is_compared(champion):
        return f"{version}: not compared, {str(champion['reason']).removeprefix('champion: ')}"
    return f"{version}: the difference in accuracy is {champion['difference']:+.4f}"


def _short(value: str) -> str:
    """A hyperparameter's text; of a long fraction four digits that count."""
    try:
        return value if len(value) <= _LONGEST_VALUE else f"{float(value):.4g}"
    except ValueError:
        return value


def print_execution(console: Console, execution: dict[str, Any], steps: list[dict[str, Any]]) -> None:
    """One execution of a deployed pipeline with its steps."""
    name = execution["PipelineExecutionArn"].rsplit("/", 1)[-1]
    table = Table(
        title=Text(f"Execution {name}: {execution['PipelineExecutionStatus']}"), title_justify="left", box=None
    )
    for heading in ("Step", "State", "Seconds", "Reason"):
        table.add_column(heading, overflow="fold")
    for step in steps:
        began, ended = step.get("StartTime"), step.get("EndTime")
        seconds = f"{(ended - began).total_seconds():.0f}" if began and ended else ""
        reason = step.get("FailureReason", "")
        table.add_row(step.get("StepDisplayName", step["StepName"]), step["StepStatus"], seconds, Text(reason))
    print_table(console, table)
    if reason := execution.get("FailureReason"):
        console.print(reason, highlight=False, markup=False)


def print_models(console: Console, models: Sequence[ModelVersion]) -> None:
    """The versions of a model package group, newest first."""
    table = Table(box=None, pad_edge=False)
    for heading in ("Version", "Approval", "Accuracy", "Classes", "Created", "ARN"):
        table.add_column(heading, overflow="fold")
    for model in models:
        accuracy = "" if model.accuracy is None else f"{model.accuracy:.4f}"
        created = f"{model.created:%Y-%m-%d %H:%M}"
        table.add_row(str(model.version), model.approval_status, accuracy, Text(model.classes), created, model.arn)
    print_table(console, table)


def print_comparison(
    console: Console, left: int, right: int, rows: Sequence[Difference], *, verbose: bool = False
) -> None:
    """What differs between two versions; `verbose` shows hashes, addresses and long texts whole."""
    if not rows:
        console.print(f"Versions {left} and {right} do not differ.", highlight=False, markup=False)
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("", "", f"Version {left}", f"Version {right}", "Difference"):
        table.add_column(heading, overflow="fold")
    shown = [row for row in rows if verbose or not _is_opaque(row)]
    group = ""
    for row in shown:
        heading, group = ("" if row.group == group else row.group), row.group
        table.add_row(heading, row.name, *(_cell(text, verbose) for text in (row.left, row.right)), _change(row.change))
    print_table(console, table)
    if left_out := [row.name for row in rows if row not in shown]:
        console.print(f"Differ too, --verbose shows how: {', '.join(left_out)}", highlight=False, markup=False)


def _is_opaque(row: Difference) -> bool:
    return all(text is None or _OPAQUE.fullmatch(text) for text in (row.left, row.right))


def _cell(text: str | None, verbose: bool) -> Text:
    shown = text or "-"
    return Text(shown if verbose or len(shown) <= _LONGEST_CELL else f"{shown[: _LONGEST_CELL - 3]}...")


def _change(change: float | None) -> str:
    if change is None:
        return ""
    return f"{change:+.4f}" if isinstance(change, float) else f"{change:+}"


def print_table(console: Console, table: Table) -> None:
    """Folds to a terminal's width; what reads a pipe gets each row, ARNs and paths in it, in one line."""
    if console.is_terminal:
        console.print(table, highlight=False)
    else:
        Console(file=console.file, width=_UNFOLDED, color_system=None).print(table, highlight=False, crop=False)
