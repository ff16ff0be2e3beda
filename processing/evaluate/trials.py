"""Reads trials.json, the table of a tuning job's training jobs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.contract import ContainerError
from common.dataset import read_json

TRIALS_NAME = "trials.json"
SCHEMA_VERSION = 1
DIRECTIONS = ("Maximize", "Minimize")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training job of a tuning job; ``value`` is the objective's, None where the job ended without one."""

    name: str
    status: str
    value: float | None
    seconds: float | None
    hyperparameters: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Trials:
    """A tuning job; ``trials`` come best first, those without a value last, equal ones in order of creation."""

    tuning_job: str
    strategy: str
    objective: str
    maximize: bool
    best: str
    trials: list[Trial]

    @property
    def valued(self) -> list[Trial]:
        """The trials that ended with a value, best first."""
        return [trial for trial in self.trials if trial.value is not None]


def read_trials(folder: Path) -> Trials | None:
    """Read trials.json in ``folder``, None where that does not exist; ContainerError where it is not of schema 1."""
    if not folder.is_dir():
        return None
    path = folder / TRIALS_NAME
    content = read_json(path)
    try:
        if content["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version must be {SCHEMA_VERSION}, got {content['schema_version']!r}")
        return _trials(content)
    except KeyError as error:
        raise ContainerError(f"{path} is malformed: it has no field {error}; run the tuning step again") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ContainerError(f"{path} is malformed: {error}; run the tuning step again") from None


def _trials(content: Any) -> Trials:
    objective = content["objective"]
    if objective["type"] not in DIRECTIONS:
        raise ValueError(f"the objective's type must be {' or '.join(DIRECTIONS)}, got {objective['type']!r}")
    maximize = objective["type"] == "Maximize"
    trials = [_trial(entry) for entry in content["trials"]]
    trials.sort(key=lambda trial: math.inf if trial.value is None else -trial.value if maximize else trial.value)
    return Trials(
        tuning_job=str(content["tuning_job"]),
        strategy=str(content["strategy"]),
        objective=str(objective["name"]),
        maximize=maximize,
        best=str(content["best"]),
        trials=trials,
    )


def _trial(entry: Any) -> Trial:
    return Trial(
        name=str(entry["name"]),
        status=str(entry["status"]),
        value=_number(entry["value"]),
        seconds=_number(entry["seconds"]),
        hyperparameters={str(name): str(value) for name, value in entry["hyperparameters"].items()},
    )


def _number(value: Any) -> float | None:
    """Return a number, None for one that is missing or not finite, as a diverged job reports it."""
    return None if value is None or not math.isfinite(value) else float(value)
