"""Container entry point: compares captured requests with the baseline of the live model version."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone

from common.arguments import ContainerParser, whole_number
from common.contract import processing_input, processing_output, run
from monitor.capture import moment
from monitor.findings import TOO_FEW, Findings, Options
from monitor.job import Inputs, monitor

LARGEST_WINDOW = 10**9
# Below this many images no threshold is worth its name; the settings allow no less.
FEWEST_IMAGES = 20
NONE = "none"


def main() -> None:
    """Write the result's files, see ``monitor.job``, then print the scores, one line each."""
    inputs = Inputs(
        capture=processing_input("capture"),
        baseline=processing_input("baseline"),
        ground_truth=processing_input("ground-truth"),
        history=processing_input("history"),
    )
    _print(monitor(inputs, _options(), processing_output("monitor")))


def _options() -> Options:
    parser = ContainerParser(program="monitor", description=__doc__ or "")
    parser.add_argument(
        "--min-records",
        type=whole_number(FEWEST_IMAGES, LARGEST_WINDOW),
        default=100,
        help="distinct images that a window needs to be compared",
    )
    parser.add_argument("--endpoint", required=True, help="name of the endpoint, a dimension of the metrics")
    parser.add_argument("--version", default="unknown", help="number of the live model version")
    parser.add_argument("--start", type=_time, required=True, help="first moment of the window, ISO 8601")
    parser.add_argument("--end", type=_time, required=True, help="first moment after the window, ISO 8601")
    parser.add_argument(
        "--since", type=_time_or_none, default=None, help="when the live version was deployed, ISO 8601, or none"
    )
    parser.add_argument(
        "--model-name", default=NONE, help="what verbose answers of the live version name as their model, or none"
    )
    given = parser.parse_args()
    return Options(
        endpoint=given.endpoint,
        version=given.version,
        start=given.start,
        end=given.end,
        since=given.since,
        min_records=int(given.min_records),
        model_name=None if given.model_name == NONE else given.model_name,
    )


def _time(text: str) -> str:
    try:
        return moment(text).astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:
        example = datetime(2026, 1, 31, 15, tzinfo=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise argparse.ArgumentTypeError(f"must be a time such as {example}, got {text!r}") from None


def _time_or_none(text: str) -> str | None:
    return None if text == NONE else _time(text)


def _print(findings: Findings) -> None:
    counts, collection = findings.counts, findings.collection
    print(
        f"Read {counts.lines} lines of {counts.files} files: {collection.images} images, "
        f"{len(collection.samples)} of them distinct, {counts.earlier} lines of an earlier version, "
        f"{counts.other_model} of another model, {counts.smoke_tests} smoke tests, "
        f"{findings.problems.total} problems",
        flush=True,
    )
    for place in findings.problems.places:
        print(f"problem: {place}", flush=True)
    for score in findings.scores:
        verdict = "drift" if score.drifted else "ok"
        print(f"{score.name}={score.value:.6f} threshold {score.threshold:.6f} {verdict}", flush=True)
    if findings.labelled.size:
        print(f"live_accuracy={findings.labelled.right / findings.labelled.size:.6f}", flush=True)
    if findings.leaves_out:
        window, start = findings.window, findings.options.start
        print(f"problem: captures from {window.undecided_since} to {start} are left out", flush=True)
    few = f" ({findings.options.min_records} distinct images are needed)" if findings.verdict == TOO_FEW else ""
    print(f"verdict={findings.verdict}{few}", flush=True)


if __name__ == "__main__":
    run(main, failure_file="message")
