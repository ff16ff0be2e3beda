"""Geometry of the pictures of a tuning job: parallel coordinates and importance of the hyperparameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from evaluate.scales import Scale, scale_of
from evaluate.trials import Trial, Trials

AXIS_DISTANCE, HEIGHT = 150, 280
# With fewer trials the shares say more about chance than about the hyperparameters.
FEWEST_FOR_IMPORTANCE = 8
TREES = 200
FAINTEST = 0.08


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis at ``x``; ticks are (y, text). The last axis is the objective."""

    name: str
    x: int
    kind: str
    ticks: list[tuple[float, str]]


@dataclass(frozen=True, kw_only=True)
class TrialLine:
    """One trial across all axes; ``opacity`` grows with how good it is, ``best`` marks the best."""

    name: str
    value: float
    points: str
    opacity: float
    best: bool


@dataclass(frozen=True, kw_only=True)
class Parallel:
    """Parallel coordinates of ``width`` x HEIGHT; lines come worst first, so that the best lies on top."""

    width: int
    axes: list[Axis]
    lines: list[TrialLine]


def varied(trials: Trials) -> list[str]:
    """Return the names, in order, of the hyperparameters that are not the same, or not there, in all trials."""
    settings = [trial.hyperparameters for trial in trials.trials]
    names = sorted({name for chosen in settings for name in chosen})
    return [name for name in names if len({chosen.get(name) for chosen in settings}) > 1]


def _complete(trials: Trials) -> list[str]:
    """Return the varied hyperparameters that every trial with a value has, so that it has a place on their axes."""
    return [name for name in varied(trials) if all(name in trial.hyperparameters for trial in trials.valued)]


def parallel(trials: Trials) -> Parallel | None:
    """Return the lines of all trials that ended with a value; None for fewer than two or where nothing was varied."""
    names, valued = _complete(trials), trials.valued
    if len(valued) < 2 or not names:  # noqa: PLR2004
        return None
    rows = {trial.name: [*(trial.hyperparameters[name] for name in names), repr(trial.value)] for trial in valued}
    scales = [scale_of(column) for column in zip(*rows.values(), strict=True)]
    axes = [
        _axis(name, scale, index)
        for index, (name, scale) in enumerate(zip([*names, trials.objective], scales, strict=True))
    ]
    lines = []
    for rank, trial in reversed(list(enumerate(valued))):
        places = [scale.place(value) for scale, value in zip(scales, rows[trial.name], strict=True)]
        lines.append(
            TrialLine(
                name=trial.name,
                value=float(trial.value or 0.0),
                points=" ".join(f"{axis.x},{_y(place)}" for axis, place in zip(axes, places, strict=True)),
                opacity=_goodness(places[-1], maximize=trials.maximize),
                best=rank == 0,
            )
        )
    return Parallel(width=axes[-1].x, axes=axes, lines=lines)


def importance(trials: Trials) -> list[tuple[str, float]]:
    """Return (hyperparameter, share of the objective's spread that it explains), largest first; shares sum to 1.

    The shares are the impurity importances of a random forest that predicts the objective. Empty for fewer than
    FEWEST_FOR_IMPORTANCE trials with a value, fewer than two varied hyperparameters, or where all values are equal.
    Source: Breiman, "Random Forests", 2001; scikit-learn's feature_importances_.
    """
    names, valued = _complete(trials), trials.valued
    values = np.array([trial.value for trial in valued], np.float64)
    if len(valued) < FEWEST_FOR_IMPORTANCE or len(names) < 2 or np.ptp(values) == 0:  # noqa: PLR2004
        return []
    features = np.stack([_feature(name, valued) for name in names], axis=1)
    forest = RandomForestRegressor(n_estimators=TREES, random_state=0).fit(features, values)
    shares = zip(names, forest.feature_importances_.tolist(), strict=True)
    return sorted(shares, key=lambda pair: (-pair[1], pair[0]))


def _feature(name: str, trials: list[Trial]) -> npt.NDArray[np.float64]:
    values = [trial.hyperparameters[name] for trial in trials]
    scale = scale_of(values)
    return np.array([scale.place(value) for value in values])


def _axis(name: str, scale: Scale, index: int) -> Axis:
    ticks = [(_y(place), text) for place, text in scale.ticks]
    return Axis(name=name, x=index * AXIS_DISTANCE, kind=scale.kind, ticks=ticks)


def _y(place: float) -> float:
    return round((1 - place) * HEIGHT, 1)


def _goodness(place: float, *, maximize: bool) -> float:
    share = place if maximize else 1 - place
    return round(FAINTEST + (1 - FAINTEST) * share, 3)


def columns(trials: Trials) -> dict[str, Any]:
    """Return the varied names, and what all trials have in common, as (name, value) in order."""
    names = varied(trials)
    first = trials.trials[0].hyperparameters if trials.trials else {}
    same = [
        (name, value)
        for name, value in sorted(first.items())
        if name not in names and all(trial.hyperparameters.get(name) == value for trial in trials.trials)
    ]
    return {"varied": names, "same": same}
