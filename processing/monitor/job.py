"""One run of the monitor, from the inputs' folders to the output's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.contract import ContainerError
from common.files import AtomicFiles, json_bytes
from monitor.answers import AnswerReader
from monitor.baseline import read_baseline
from monitor.capture import CaptureReader
from monitor.collect import collect
from monitor.findings import Findings, Options
from monitor.ground_truth import read_ground_truth
from monitor.history import read_history
from monitor.monitor_json import monitor_json
from monitor.predictions import FILE as PREDICTIONS
from monitor.predictions import all_labelled, prediction_lines, read_predictions
from monitor.problems import Problems
from monitor.report import render
from monitor.scores import compare
from monitor.undecided import FILE as UNDECIDED
from monitor.undecided import undecided_text
from monitor.window import read_window


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The folders of the inputs; ``ground_truth`` and ``history``, which may hold window.json, need not exist."""

    capture: Path
    baseline: Path
    ground_truth: Path
    history: Path


def monitor(inputs: Inputs, options: Options, destination: Path) -> Findings:
    """Compare the window with the baseline; write monitor.json and .html, predictions.jsonl, undecided.txt, or nothing.

    ContainerError where the baseline cannot be read, or there are captured lines and all of them are damaged.
    """
    problems, window = Problems(), read_window(inputs.history, start=options.start)
    baseline = read_baseline(inputs.baseline)
    ground_truth = read_ground_truth(inputs.ground_truth, classes=baseline.classes, problems=problems)
    reader = CaptureReader(
        inputs.capture,
        answers=AnswerReader(classes=baseline.classes, multi_label=baseline.multi_label, model_name=options.model_name),
        problems=problems,
        since=options.since,
        new_since=window.new_since,
    )
    collection = collect(reader.inferences(), baseline=baseline, ground_truth=ground_truth, problems=problems)
    _check_any_line(reader, problems, inputs.capture)
    earlier = read_predictions(inputs.history, version=options.version, classes=baseline.classes, problems=problems)
    labelled = all_labelled(collection, earlier, ground_truth)
    summary = collection.summary(len(baseline.classes), labelled) if collection.samples else None
    enough = summary is not None and summary.size >= options.min_records
    findings = Findings(
        options=options,
        window=window,
        baseline=baseline,
        counts=reader.counts,
        collection=collection,
        summary=summary,
        labelled=labelled,
        scores=compare(summary, baseline) if summary is not None and enough else [],
        history=read_history(inputs.history, before=options.end, problems=problems),
        problems=problems,
    )
    _write(findings, destination)
    return findings


def _write(findings: Findings, destination: Path) -> None:
    lines = prediction_lines(findings.collection, version=findings.options.version, classes=findings.baseline.classes)
    with AtomicFiles() as files:
        files.open(destination / PREDICTIONS).writelines(lines)
        files.open(destination / UNDECIDED).write(undecided_text(findings).encode())
        files.open(destination / "monitor.html").write(render(findings).encode())
        files.open(destination / "monitor.json").write(json_bytes(monitor_json(findings)))


def _check_any_line(reader: CaptureReader, problems: Problems, folder: Path) -> None:
    damaged = problems.counts.get("line", 0)
    if damaged and damaged == reader.counts.lines:
        raise ContainerError(
            f"{folder}: none of {damaged} captured lines can be read, the first: {problems.places_of['line'][0]}; give "
            "the files that the endpoint's data capture wrote"
        )
