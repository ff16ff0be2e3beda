"""Scores the champion, the approved model version that a new model competes with, on the same test records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.contract import ContainerError
from common.dataset import Dataset, read_json
from evaluate.comparison import CONFIDENCE, Comparison, compare
from evaluate.model import load_model
from evaluate.predict import Predictions, predict

MARKER = "champion.json"
NAMES_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The outcome of the contest: a comparison, or the reason why there is none; ``version`` None where unknown."""

    version: int | None
    comparison: Comparison | None
    reason: str | None
    metric: str

    @property
    def exists(self) -> bool:
        """Whether there was a champion to compare with, comparable or not."""
        return self.comparison is not None or self.version is not None


def contest(
    folder: Path, predictions: Predictions, records: Path, dataset: Dataset, *, version: int | None
) -> Champion:
    """Compare the model of ``predictions`` with the champion in ``folder``, the package folder of an approved version.

    A folder that does not exist, or whose champion.json says null, means that there is none. A champion that is damaged
    or was made for other classes or larger images is not comparable; that is no failure of the new model.
    """
    outcome = Champion(
        version=version,
        comparison=None,
        reason=None,
        metric="subset_accuracy" if predictions.multi_label else "accuracy",
    )
    if version is None and _none_there(folder):
        return replace(outcome, reason="there is no approved version to compare with")
    try:
        _check_classes(folder, dataset)
        model = load_model(folder / "model.tar.gz", dataset=dataset)
        scored = predict(model, records, num_classes=len(dataset.classes))
    except ContainerError as error:
        return replace(outcome, reason=" ".join(f"champion: {error}".split()))
    return replace(outcome, comparison=compare(scored.correct, predictions.correct))


def champion_block(outcome: Champion) -> dict[str, Any]:
    """Return the block ``champion`` of evaluation.json; ``worse_by`` is always a number, for gates."""
    found = outcome.comparison
    return {
        "version": outcome.version,
        "comparable": found is not None,
        "reason": outcome.reason,
        "metric": outcome.metric,
        "accuracy": found and found.champion_accuracy,
        "difference": found and found.difference,
        "interval": found and list(found.interval),
        "confidence": CONFIDENCE,
        "mcnemar": found
        and {
            "only_champion_right": found.only_champion_right,
            "only_challenger_right": found.only_challenger_right,
            "p_value": found.p_value,
        },
        "worse_by": found.worse_by if found else 0.0,
    }


def _none_there(folder: Path) -> bool:
    if not folder.is_dir():
        return True
    marker = folder / MARKER
    if not marker.is_file():
        return False
    content = read_json(marker)
    if not isinstance(content, dict) or "champion" not in content:
        raise ContainerError(f'{marker} must be {{"champion": null}}, or the folder of an approved version stand there')
    return content["champion"] is None


def _check_classes(folder: Path, dataset: Dataset) -> None:
    classes = read_json(folder / "labels.json")
    if classes == dataset.classes:
        return
    if not isinstance(classes, list):
        raise ContainerError(f"{folder / 'labels.json'} is no list of class names")
    only_theirs = [str(name) for name in classes if name not in dataset.classes]
    only_ours = [name for name in dataset.classes if name not in classes]
    if not (only_theirs or only_ours):
        raise ContainerError("it has the classes of the data set in another order")
    raise ContainerError(
        f"it has other classes: only the champion has {_some(only_theirs)}, only the data set has {_some(only_ours)}"
    )


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
