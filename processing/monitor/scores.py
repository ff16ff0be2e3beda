"""All scores of a window, each with its threshold, so that together they rarely cry wolf."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from monitor.baseline import COMPARED_IMAGES, Baseline
from monitor.chance import SIMULATIONS, deals, generator
from monitor.distances import Counts, kolmogorov_smirnov, population_stability_index
from monitor.embedding import Sample, mahalanobis
from monitor.score import Score, score
from monitor.several_labels import worst_class

# How often a window without drift may be called drifted, all of its scores together (Bonferroni's inequality).
FALSE_ALARM_RATE = 0.01
# Differences below these do not matter, however many images prove them. PSI: up to 0.1 is stable (Siddiqi, 2006);
# KS: a tenth of the images; embedding: half a standard deviation; accuracy: five points.
EFFECTS = {"prediction_mix": 0.1, "distribution": 0.1, "embedding": 0.5, "accuracy": 0.05}
# Decimals of a mean: brightness and contrast go to 255, the others to 1 or a little beyond.
DECIMALS = {"confidence": 3, "brightness": 1, "contrast": 1, "aspect": 3}
SCORES = ("prediction_mix", "confidence", *COMPARED_IMAGES, "embedding", "accuracy")
RISK = FALSE_ALARM_RATE / len(SCORES)


class Labelled(NamedTuple):
    """Images with ground truth, and how many of them were answered right."""

    size: int
    right: int


class Summary(NamedTuple):
    """A window in numbers: images, the blocks of `common.prediction_statistics` and of `common.image_statistics`."""

    size: int
    predictions: dict[str, Any]
    images: dict[str, Any]
    embedding: dict[str, Any]
    labelled: Labelled


def compare(window: Summary, baseline: Baseline) -> list[Score]:
    """Return the scores in the order of SCORES; accuracy only where there are labels and a test set's accuracy."""
    found = [
        _prediction_mix(window, baseline),
        _shape("confidence", window.predictions["confidence"], baseline.confidence),
        *(_shape(name, window.images[name], baseline.images[name]) for name in COMPARED_IMAGES),
        _embedding(window, baseline),
    ]
    if baseline.accuracy is not None and window.labelled.size:
        found.append(_accuracy(window.labelled, baseline.accuracy, baseline.num_images))
    return found


def _prediction_mix(window: Summary, baseline: Baseline) -> Score:
    now, then = np.array(window.predictions["counts"], np.int64), baseline.predicted
    if baseline.multi_label:
        return worst_class(
            now,
            then,
            sizes=(window.size, baseline.num_images),
            classes=baseline.classes,
            effect=EFFECTS["prediction_mix"],
            risk=RISK,
        )
    return score(
        "prediction_mix",
        float(population_stability_index(now, then)),
        deals(population_stability_index, now, then),
        effect=EFFECTS["prediction_mix"],
        risk=RISK,
        detail=_largest_change(now, then, baseline.classes),
    )


def _largest_change(now: Counts, then: Counts, classes: Sequence[str]) -> str:
    change = now / now.sum() - then / then.sum()
    index = int(np.abs(change).argmax())
    return f"{classes[index]}: {100 * then[index] / then.sum():.1f}% then, {100 * now[index] / now.sum():.1f}% now"


def _shape(name: str, now: dict[str, Any], then: dict[str, Any]) -> Score:
    """Judge a histogram by the largest difference of cumulative shares; edges are fixed by the schema."""
    window, baseline = np.array(now["counts"], np.int64), np.array(then["counts"], np.int64)
    decimals = DECIMALS[name]
    return score(
        name,
        float(kolmogorov_smirnov(window, baseline)),
        deals(kolmogorov_smirnov, window, baseline),
        effect=EFFECTS["distribution"],
        risk=RISK,
        detail=f"mean {then['mean']:.{decimals}f} then, {now['mean']:.{decimals}f} now",
    )


def _embedding(window: Summary, baseline: Baseline) -> Score:
    value, by_chance = mahalanobis(
        Sample(window.size, np.array(window.embedding["mean"]), np.array(window.embedding["covariance"])),
        Sample(baseline.num_images, baseline.mean, baseline.covariance),
    )
    return score(
        "embedding", value, by_chance, effect=EFFECTS["embedding"], risk=RISK, detail=_colours(window, baseline)
    )


def _colours(window: Summary, baseline: Baseline) -> str:
    """Return the mean red, green and blue, 0 to 255: an embedding holds them cell by cell."""
    then, now = (
        " ".join(f"{255 * value:.0f}" for value in np.reshape(mean, (-1, 3)).mean(axis=0))
        for mean in (baseline.mean, window.embedding["mean"])
    )
    return f"mean RGB {then} then, {now} now"


def _accuracy(labelled: Labelled, accuracy: float, tested: int) -> Score:
    """Judge the drop from the test set's accuracy; better than tested is no drift."""
    right = round(accuracy * tested)
    pooled, images = labelled.right + right, labelled.size + tested
    dealt = generator().hypergeometric(pooled, images - pooled, labelled.size, size=SIMULATIONS)
    by_chance = (pooled - dealt) / tested - dealt / labelled.size
    live = labelled.right / labelled.size
    return score(
        "accuracy",
        right / tested - live,
        by_chance,
        effect=EFFECTS["accuracy"],
        risk=RISK,
        detail=f"{100 * right / tested:.1f}% in the test, {100 * live:.1f}% of {labelled.size} labelled images",
    )
