"""One evaluation from the inputs' folders to the output's files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.contract import ContainerError
from common.dataset import Dataset, read_dataset
from common.files import AtomicFiles, json_bytes
from evaluate.baseline import baseline
from evaluate.champion import contest
from evaluate.evaluation_json import evaluation
from evaluate.findings import Findings, find
from evaluate.gate import Gate, failed
from evaluate.mistakes import worst_mistakes
from evaluate.model import load_model
from evaluate.predict import predict
from evaluate.report import render
from evaluate.trials import read_trials


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The folders that the steps before have filled; ``champion`` and ``trials`` need not exist."""

    model: Path
    test: Path
    dataset: Path
    champion: Path
    trials: Path

    @property
    def records(self) -> Path:
        """The packed test images."""
        return self.test / "test.rec"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Arguments: ``precision`` is what accepted predictions shall reach, ``champion_version`` None for no champion.

    ``gates`` are those of the pipeline, for the words in which it fails.
    """

    top_k: int
    precision: float
    champion_version: int | None
    gates: tuple[Gate, ...] = ()


def evaluate(inputs: Inputs, options: Options, destination: Path) -> Findings:
    """Score the model, write evaluation.json, report.html and baseline.json, all or none, and return the findings."""
    dataset = read_dataset(inputs.dataset)
    trials = read_trials(inputs.trials)
    model = load_model(inputs.model / "model.tar.gz", dataset=dataset)
    predictions = predict(model, inputs.records, num_classes=len(dataset.classes))
    _check_count(len(predictions.labels), dataset, inputs.records)
    findings = find(
        predictions,
        dataset,
        top_k=options.top_k,
        precision=options.precision,
        champion=contest(inputs.champion, predictions, inputs.records, dataset, version=options.champion_version),
        training=model.training,
        trials=trials,
    )
    content = evaluation(findings) | {"gate": {"failed": failed(options.gates, findings)}}
    mistakes = worst_mistakes(predictions, inputs.records, inputs.dataset / "test.lst", classes=dataset.classes)
    with AtomicFiles() as files:
        files.open(destination / "baseline.json").write(json_bytes(baseline(predictions, inputs.records, dataset)))
        files.open(destination / "report.html").write(render(findings, mistakes).encode())
        files.open(destination / "evaluation.json").write(json_bytes(content))
    return findings


def _check_count(found: int, dataset: Dataset, records: Path) -> None:
    expected = dataset.counts.get("test", 0)
    if found != expected:
        raise ContainerError(
            f"{records} holds {found} records, dataset.json says {expected}: take both from one preprocess run"
        )
