"""Shows a local run while it goes on: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from local.executor.definition import Definition, Step
from local.executor.records import StepRecord

# The metric lines of the built-in image classification algorithm, which our trainer prints too.
# Of several instances the first speaks for all.
_EPOCH: Final = re.compile(r"^(?:algo-1: )?Epoch\[(\d+)\] (Train|Validation)-([a-z_0-9]+)=([0-9.eE+-]+|nan)$")
# The lines of a tuning step, see local.executor.tuning.
_TRIAL: Final = re.compile(r"^trial \d+ of \d+: ")
# What the trainer advises.
_HINT: Final = re.compile(r"^(?:algo-1: )?(Hint: .+)$")
_STYLES: Final = {
    "Waiting": "dim",
    "Not run": "dim",
    "Executing": "cyan",
    "Succeeded": "green",
    "Failed": "bold red",
    "Stopped": "yellow",
}


class RunProgress:
    """An observer of local.run that renders what it hears; safe to call from several threads."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.RLock()
        self._phase = ""
        self._rows: dict[str, _Row] = {}
        self._title = ""
        self._spinner = Spinner("dots")

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Renders while open."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=8, get_renderable=self._render):
            try:
                yield
            finally:
                self._finish()

    def phase(self, text: str) -> None:
        """See RunObserver."""
        self._phase = text
        self._plain(text)

    def execution_started(self, definition: Definition, execution_id: str, runtime: str) -> None:
        """See RunObserver."""
        with self._lock:
            self._phase = ""
            self._title = f"Execution {execution_id} ({runtime} runtime)"
            # A Fail step is the way that nobody hopes for: it is shown when it comes.
            self._rows = {step.name: _Row(step.display_name) for step in definition.steps if step.type != "Fail"}
        self._plain(self._title)

    def step_started(self, step: Step) -> None:
        """See Observer."""
        with self._lock:
            self._rows.setdefault(step.name, _Row(step.display_name)).begin()
        self._plain(f"{step.name:<15} started: {step.display_name}")

    def step_line(self, step: Step, line: str) -> None:
        """See Observer; only trials, epoch metrics and hints are shown, the rest is in the log."""
        if _TRIAL.match(line):
            with self._lock:
                self._rows[step.name].detail = line
            self._plain(f"{step.name:<15} {line}")
            return
        if hint := _HINT.match(line):
            with self._lock:
                self._rows[step.name].hint = hint[1]
            self._plain(f"{step.name:<15} {hint[1]}")
            return
        match = _EPOCH.match(line)
        if not match:
            return
        with self._lock:
            row = self._rows[step.name]
            row.see_metric(int(match[1]), f"{match[2].lower()} {match[3]}", float(match[4]))
        if match[2] == "Validation" and match[3] == "accuracy":
            self._plain(f"{step.name:<15} {row.detail}")

    def step_ended(self, record: StepRecord) -> None:
        """See Observer."""
        with self._lock:
            self._rows[record.name].end(record)
        outcome = record.metadata.get("Condition", {}).get("Outcome")
        self._plain(
            f"{record.name:<15} {record.status.lower()} after {record.seconds:.1f} s"
            + (f", condition is {outcome.lower()}" if outcome else "")
        )

    def _plain(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(text, highlight=False, soft_wrap=True, markup=False)

    def _finish(self) -> None:
        with self._lock:
            self._phase = ""
            for row in self._rows.values():
                row.finish()

    def _render(self) -> RenderableType:
        with self._lock:
            if self._phase:
                self._spinner.update(text=f" {self._phase}")
                return self._spinner
            if not self._rows:
                return Text()  # it ended before the execution began; the error says why
            table = Table(title=Text(self._title), title_justify="left", box=None, pad_edge=False)
            table.add_column("Step", no_wrap=True)
            table.add_column("State", no_wrap=True)
            table.add_column("Seconds", justify="right", no_wrap=True)
            table.add_column("", overflow="fold")
            for row in self._rows.values():
                seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
                table.add_row(Text(row.title), Text(row.status, _STYLES[row.status]), seconds, Text(row.text))
            return table


class _Row:
    """What is shown of one step."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.status = "Waiting"
        self.detail = ""
        self.hint = ""
        self._began: float | None = None
        self._seconds: float | None = None
        self._epoch = -1
        self._metrics: dict[str, float] = {}

    @property
    def seconds(self) -> float | None:
        """Time since the step began or until it ended; None before."""
        if self._began is None or self._seconds is not None:
            return self._seconds
        return time.monotonic() - self._began

    @property
    def text(self) -> str:
        """The detail, and the hint below it."""
        return "\n".join(part for part in (self.detail, self.hint) if part)

    def begin(self) -> None:
        self.status, self._began = "Executing", time.monotonic()

    def see_metric(self, epoch: int, name: str, value: float) -> None:
        if epoch != self._epoch:
            self._epoch, self._metrics = epoch, {}
        self._metrics[name] = value
        self.detail = f"epoch {epoch}: " + ", ".join(f"{key} {number:.3f}" for key, number in self._metrics.items())

    def end(self, record: StepRecord) -> None:
        self.status, self._seconds = record.status, record.seconds
        if record.failure_reason:
            self.detail = record.failure_reason

    def finish(self) -> None:
        if self.status == "Waiting":
            self.status = "Not run"
