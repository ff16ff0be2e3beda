"""Container entry point: scores the trained model on the test records."""

from __future__ import annotations

from pathlib import Path

from common.arguments import ContainerParser, whole_number
from common.contract import ContainerError, processing_input, processing_output, run
from common.dataset import Dataset, read_dataset
from common.files import AtomicFiles, json_bytes
from evaluate.evaluation_json import evaluation
from evaluate.metrics import score
from evaluate.mistakes import worst_mistakes
from evaluate.predict import load_model, predict
from evaluate.report import render

HIGHEST_TOP_K = 1000


def main() -> None:
    """Write evaluation.json and report.html, then print the scores, one line each."""
    top_k = _top_k()
    described = processing_input("dataset")
    records = processing_input("test") / "test.rec"
    dataset = read_dataset(described)
    model = load_model(processing_input("model") / "model.tar.gz", dataset=dataset)
    predictions = predict(model, records, num_classes=len(dataset.classes))
    _check_count(len(predictions.labels), dataset, records)
    scores = score(predictions.labels, predictions.probabilities, classes=dataset.classes, top_k=top_k)
    mistakes = worst_mistakes(predictions, records, described / "test.lst", classes=dataset.classes)
    with AtomicFiles() as files:
        content = json_bytes(evaluation(predictions.labels, predictions.probabilities, scores))
        files.open(processing_output("evaluation") / "evaluation.json").write(content)
        page = render(predictions, scores, mistakes, dataset)
        files.open(processing_output("evaluation") / "report.html").write(page.encode())
    print(f"Evaluated {len(predictions.labels)} test images of {len(dataset.classes)} classes", flush=True)
    for name, value in scores.values.items():
        print(f"{name}={'undefined' if value is None else format(value, '.6f')}", flush=True)


def _top_k() -> int:
    parser = ContainerParser(program="evaluate", description=__doc__ or "")
    parser.add_argument(
        "--top-k", type=whole_number(1, HIGHEST_TOP_K), default=5, help="k of top_k_accuracy, at most the class count"
    )
    return int(parser.parse_args().top_k)


def _check_count(found: int, dataset: Dataset, records: Path) -> None:
    expected = dataset.counts.get("test", 0)
    if found != expected:
        raise ContainerError(
            f"{records} holds {found} records, dataset.json says {expected}: take both from one preprocess run"
        )


if __name__ == "__main__":
    run(main, failure_file="message")
