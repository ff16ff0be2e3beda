"""Windows with and without drift through the monitor's own scores: ``python drift_windows.py SETTINGS`` (JSON).

PYTHONPATH leads to the monitor. Settings: images (a folder of class folders), windows, size (images of a window),
tested (images of the baseline) and limit (images that are read at most), seed, and plants
(false: only windows without drift). Prints a JSON object: `called`, plant -> how many of the windows were called
drifted, and by which scores, and `accuracy`, the mean over the windows' test sets. Each window has a split of its own
into training, test and live images, so that windows are independent of each other.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from common.image_statistics import image_facts, summarise_images  # type: ignore[import-not-found]
from common.prediction_statistics import summarise_predictions  # type: ignore[import-not-found]
from monitor.baseline import COMPARED_IMAGES, Baseline  # type: ignore[import-not-found]
from monitor.scores import Labelled, Summary, compare  # type: ignore[import-not-found]
from preprocess.decode import read_image  # type: ignore[import-not-found]

SHORT_SIDE = 64
COLOUR_SIDE, EDGE_SIDE = 8, 32
TRAINED_SHARE = 0.35
# The share of one class (of many: of the first half of the classes) in a window whose mix has shifted.
MIXES = {"class mix 80 to 20": 0.8, "one class only": 1.0}
Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]

# What a camera or its surroundings may do.
PLANTS: dict[str, Callable[[Pixels], Pixels]] = {
    "darkened to 60%": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "darkened to 80%": lambda pixels: (pixels * 0.8).astype(np.uint8),
    "blurred": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 3).astype(np.uint8),
    "red and blue swapped": lambda pixels: np.ascontiguousarray(pixels[:, :, ::-1]),
    "half the contrast": lambda pixels: (pixels * 0.5 + 64).astype(np.uint8),
}


@dataclass(frozen=True, kw_only=True)
class Looks:
    """All images as one plant leaves them: what the monitor measures, and what the classifier reads (n, features)."""

    facts: list[Any]
    features: npt.NDArray[np.float32]


def main(settings: dict[str, Any]) -> None:
    """Count the windows that are called drifted, per plant."""
    pixels, labels = _read(Path(settings["images"]), settings["limit"])
    plants = PLANTS if settings["plants"] else {}
    looks = {"none": _looks(pixels)} | {
        name: _looks([plant(item) for item in pixels]) for name, plant in plants.items()
    }
    random = np.random.default_rng(settings["seed"])
    mixes = MIXES if settings["plants"] else {}
    called = {name: Counter[str]() for name in [*looks, *mixes]}
    windows, accuracies = settings["windows"], []
    for _ in range(windows):
        order = random.permutation(len(labels))
        trained, rest = np.split(order, [int(TRAINED_SHARE * len(order))])
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.001, max_iter=200))
        model.fit(looks["none"].features[trained], labels[trained])
        tested, live = np.split(rest, [settings["tested"]])
        if len(live) < settings["size"]:
            raise SystemExit(
                f"{len(labels)} images are too few for {settings['tested']} and {settings['size']} of them"
            )
        baseline = _baseline(looks["none"], labels, tested, model)
        accuracies.append(baseline.accuracy)
        for name, look in looks.items():
            called[name].update(_drifted(look, labels, live[: settings["size"]], model, baseline))
        for name, share in mixes.items():
            shifted = _shifted(labels, live, settings["size"], share, random)
            called[name].update(_drifted(looks["none"], labels, shifted, model, baseline))
    counts = {name: dict(found) for name, found in called.items()}
    print(json.dumps({"windows": windows, "accuracy": float(np.mean(accuracies)), "called": counts}))


def _read(folder: Path, limit: int) -> tuple[list[Pixels], Indices]:
    """Return pixels and class indices of up to ``limit`` images, the same number of each class."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    each = limit // len(classes)
    files = [(path, label) for label, name in enumerate(classes) for path in sorted(name.iterdir())[:each]]
    pixels = [read_image(path.read_bytes(), short_side=SHORT_SIDE) for path, _ in files]
    return pixels, np.array([label for _, label in files])


def _looks(pixels: Sequence[Pixels]) -> Looks:
    edges = cv2.HOGDescriptor((EDGE_SIDE, EDGE_SIDE), (16, 16), (8, 8), (8, 8), 9)
    return Looks(
        facts=[image_facts(Image.fromarray(item)) for item in pixels],
        features=np.stack([_features(item, edges) for item in pixels]),
    )


def _features(pixels: Pixels, edges: cv2.HOGDescriptor) -> npt.NDArray[np.float32]:
    """Return what a small classifier tells images apart by: their colours and the directions of their edges."""
    colour = cv2.resize(pixels, (COLOUR_SIDE, COLOUR_SIDE), interpolation=cv2.INTER_AREA).ravel() / 255
    side = cv2.resize(pixels, (EDGE_SIDE, EDGE_SIDE), interpolation=cv2.INTER_AREA)
    return np.concatenate([colour, np.ravel(np.asarray(edges.compute(side)))]).astype(np.float32)


def _summary(look: Looks, labels: Indices, chosen: Indices, model: Any) -> Summary:
    probabilities = model.predict_proba(look.features[chosen])
    predicted = probabilities.argmax(axis=1)
    called = np.zeros(probabilities.shape, np.bool_)
    called[np.arange(len(predicted)), predicted] = True
    return Summary(
        size=len(chosen),
        predictions=summarise_predictions(called, probabilities.max(axis=1)),
        labelled=Labelled(len(chosen), int((predicted == labels[chosen]).sum())),
        **summarise_images(look.facts[index] for index in chosen),
    )


def _baseline(look: Looks, labels: Indices, tested: Indices, model: Any) -> Baseline:
    summary = _summary(look, labels, tested, model)
    return Baseline(
        num_images=summary.size,
        classes=[str(index) for index in range(int(labels.max()) + 1)],
        resize=SHORT_SIDE,
        crop="none",
        multi_label=False,
        accuracy=summary.labelled.right / summary.size,
        predicted=np.array(summary.predictions["counts"]),
        confidence=summary.predictions["confidence"],
        images={name: summary.images[name] for name in COMPARED_IMAGES},
        mean=np.array(summary.embedding["mean"]),
        covariance=np.array(summary.embedding["covariance"]),
    )


def _drifted(look: Looks, labels: Indices, chosen: Indices, model: Any, baseline: Baseline) -> list[str]:
    """Return "window" and the names of the scores above their thresholds, or nothing."""
    names = [score.name for score in compare(_summary(look, labels, chosen, model), baseline) if score.drifted]
    return ["window", *names] if names else []


def _shifted(labels: Indices, live: Indices, size: int, share: float, random: np.random.Generator) -> Indices:
    """Return live images of which ``share`` are of class 0 (of many classes: of the first half)."""
    first = labels[live] < max(1, (labels.max() + 1) // 2)
    wanted = round(share * size)
    if wanted > first.sum():
        raise SystemExit(f"{first.sum()} live images of the first classes are too few for {wanted} in a window")
    chosen = np.concatenate([live[first][:wanted], live[~first][: size - wanted]])
    return random.permutation(chosen)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
