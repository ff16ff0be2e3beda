"""Container entry point: scores the trained model on the test records."""

from __future__ import annotations

import argparse

from common.arguments import ContainerParser, fraction, whole_number
from common.contract import processing_input, processing_output, run
from evaluate.findings import Findings
from evaluate.gate import add_gate_options, read_gates
from evaluate.job import Inputs, Options, evaluate

HIGHEST_TOP_K = 1000
HIGHEST_VERSION = 10**9
DEFAULT_PRECISION = 0.95
NONE = "none"


def main() -> None:
    """Write evaluation.json, report.html and baseline.json, then print the scores, one line each."""
    options = _options()
    inputs = Inputs(
        model=processing_input("model"),
        test=processing_input("test"),
        dataset=processing_input("dataset"),
        champion=processing_input("champion"),
        trials=processing_input("trials"),
    )
    _print(evaluate(inputs, options, processing_output("evaluation")))


def _options() -> Options:
    parser = ContainerParser(program="evaluate", description=__doc__ or "")
    parser.add_argument(
        "--top-k", type=whole_number(1, HIGHEST_TOP_K), default=5, help="k of top_k_accuracy, at most the class count"
    )
    parser.add_argument(
        "--threshold-precision",
        type=fraction,
        default=DEFAULT_PRECISION,
        help="what the predictions above a suggested confidence threshold shall reach, 0 to 1",
    )
    parser.add_argument(
        "--champion-version", type=_version, default=None, help="version of the model in input champion, or none"
    )
    add_gate_options(parser)
    given = parser.parse_args()
    return Options(
        top_k=int(given.top_k),
        precision=float(given.threshold_precision),
        champion_version=given.champion_version,
        gates=read_gates(given),
    )


def _version(text: str) -> int | None:
    if text == NONE:
        return None
    try:
        return whole_number(1, HIGHEST_VERSION)(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"must be {NONE} or a version number from 1 on, got {text!r}") from None


def _print(findings: Findings) -> None:
    print(
        f"Evaluated {len(findings.predictions.labels)} test images of {len(findings.dataset.classes)} classes",
        flush=True,
    )
    for name, value in findings.metrics.items():
        print(f"{name}={'undefined' if value is None else format(value, '.6f')}", flush=True)
    champion = findings.champion
    if champion.comparison is not None:
        low, high = champion.comparison.interval
        print(
            f"difference_to_champion={champion.comparison.difference:.6f} interval {low:.6f} to {high:.6f}", flush=True
        )
    else:
        print(f"No comparison with a champion: {champion.reason}", flush=True)


if __name__ == "__main__":
    run(main, failure_file="message")
