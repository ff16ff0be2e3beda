"""What was answered in earlier windows: predictions.jsonl, so that labels that come late still find their images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from monitor.collect import Collection
from monitor.ground_truth import GroundTruth
from monitor.lines import numbered_lines
from monitor.problems import Problems
from monitor.scores import Labelled

FILE = "predictions.jsonl"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One distinct image of an earlier window: hash of its pixels, ids of its requests, the classes it was called."""

    look: str
    ids: tuple[str, ...]
    chosen: tuple[int, ...]


def prediction_lines(collection: Collection, *, version: str, classes: Sequence[str]) -> Iterator[bytes]:
    """Yield a JSON line for each distinct image: `version`, `look`, `ids` and `chosen`, the classes by name."""
    for sample in collection.samples:
        content = {
            "version": version,
            "look": sample.look,
            "ids": list(dict.fromkeys(sample.ids)),
            "chosen": [classes[index] for index in sample.answer.chosen],
        }
        yield json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def read_predictions(folder: Path, *, version: str, classes: Sequence[str], problems: Problems) -> Iterator[Prediction]:
    """Yield what ``version`` answered in earlier windows, the newest window first; damaged lines are problems."""
    places = {name: index for index, name in enumerate(classes)}
    for path in sorted(folder.rglob(FILE), reverse=True):
        for number, line in numbered_lines(path):
            try:
                content = json.loads(line)
                if content["version"] != version:
                    continue
                yield Prediction(
                    look=str(content["look"]),
                    ids=tuple(map(str, content["ids"])),
                    chosen=tuple(places[name] for name in content["chosen"]),
                )
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                place = f"{path.relative_to(folder).as_posix()}:{number}"
                problems.add("history", place, f"no prediction of the monitor: {error!r}")


def all_labelled(collection: Collection, earlier: Iterator[Prediction], ground_truth: GroundTruth) -> Labelled:
    """Count the images with labels, of this window and of earlier ones; an image that was seen again counts once."""
    right = {sample.look: sample.right for sample in collection.samples if sample.truth is not None}
    for prediction in earlier:
        truth = ground_truth.of(prediction.ids)
        if truth is not None:
            right.setdefault(prediction.look, truth == frozenset(prediction.chosen))
    return Labelled(len(right), sum(right.values()))
