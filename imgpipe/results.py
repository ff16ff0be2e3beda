"""The tables that commands end with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_MEBIBYTE = 2**20
_UNFOLDED = 10_000  # columns
_SHOWN_METRICS = ("accuracy", "top_k_accuracy", "macro_f1", "worst_class_recall", "roc_auc", "log_loss")


def print_summary(console: Console, summary: dict[str, Any], directory: Path) -> None:
    """What a local run came to; `directory` is the run's own."""
    table = Table(title="Result", title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for heading, value in _rows(summary, directory):
        table.add_row(heading, Text(value))
    _print(console, table)


def _rows(summary: dict[str, Any], directory: Path) -> Iterator[tuple[str, str]]:
    yield "Status", summary["status"]
    if dataset := summary["dataset"]:
        counts = ", ".join(f"{split} {dataset['counts'][split]}" for split in ("train", "validation", "test"))
        yield "Data", f"{len(dataset['classes'])} classes; {counts}; rejected {dataset['rejected']}"
    for name in _SHOWN_METRICS if summary["metrics"] else ():
        if (value := summary["metrics"].get(name)) is not None:
            yield name.replace("_", " ").capitalize(), f"{value:.4f}"
    if gate := summary["gate"]:
        verdict = "passed" if gate["passed"] else "not passed"
        yield "Gate", f"{verdict}: {gate['metric']} {gate['value']:.4f}, threshold {gate['threshold']}"
    if package := summary["model_package"]:
        yield "Model package", package["arn"]
        yield "Approval", package["approval_status"]
    yield "Time", f"{summary['seconds']:.0f} s, peak memory {summary['peak_memory_bytes'] / _MEBIBYTE:.0f} MiB"
    report = directory / "report.html"
    yield "Report" if report.exists() else "Files", str(report if report.exists() else directory)


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
    _print(console, table)
    if reason := execution.get("FailureReason"):
        console.print(reason, highlight=False, markup=False)


def print_models(console: Console, models: list[dict[str, Any]]) -> None:
    """The versions of a model package group, newest first."""
    table = Table(box=None, pad_edge=False)
    for heading in ("Version", "Approval", "Accuracy", "Created", "ARN"):
        table.add_column(heading, overflow="fold")
    for model in models:
        accuracy = "" if model["accuracy"] is None else f"{model['accuracy']:.4f}"
        created = f"{model['created']:%Y-%m-%d %H:%M}"
        table.add_row(str(model["version"]), model["approval_status"], accuracy, created, model["arn"])
    _print(console, table)


def _print(console: Console, table: Table) -> None:
    """Folds to a terminal's width; what reads a pipe gets each row, ARNs and paths in it, in one line."""
    if console.is_terminal:
        console.print(table, highlight=False)
    else:
        Console(file=console.file, width=_UNFOLDED, color_system=None).print(table, highlight=False, crop=False)
