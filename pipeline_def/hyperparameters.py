"""The hyperparameters of training: the table that the trainer ships, read for checks before anything runs."""

from __future__ import annotations

import difflib
import functools
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

TrainingImage = Literal["builtin", "own"]

# One table for both sides, kept with the trainer because it ships alone.
TABLE_PATH: Final = Path(__file__).parents[1] / "processing" / "train" / "hyperparameters.json"

# What settings cannot name, and why.
NOT_SETTABLE: Final = {
    "num_classes": "Preprocess counts the class folders",
    "num_training_samples": "Preprocess counts the packed images",
    "image_shape": "it follows preprocess.image_size",
    "seed": "it follows preprocess.seed",
    "resize": "images are resized when they are packed, set preprocess.resize",
}


class Hyperparameter(BaseModel):
    """One row of the table: its wire name, type, default, range (inclusive unless said) and the images that take it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    type: Literal["int", "float", "string"]
    required: bool = False
    default: str | int | float | None = None
    min: float | None = None
    max: float | None = None
    exclusive_min: bool = False
    exclusive_max: bool = False
    choices: tuple[str | int | float, ...] | None = None
    own_choices: tuple[str | int | float, ...] | None = None
    pattern: str | None = None
    images: tuple[TrainingImage, ...]
    description: str

    @property
    def parameter_name(self) -> str:
        """The name as a pipeline parameter: learning_rate becomes LearningRate."""
        return "".join(word.capitalize() for word in self.name.split("_"))

    def choices_for(self, image: TrainingImage) -> list[str]:
        """The closed values that an image takes, as they stand on the wire; empty where any value goes."""
        own = self.own_choices if image == "own" else None
        return [str(choice) for choice in own or self.choices or ()]

    def allowed(self, image: TrainingImage) -> str:
        """The allowed values, for an error message."""
        if choices := self.choices_for(image):
            return "one of " + ", ".join(choices)
        if self.pattern:
            return f"text of the form {self.pattern}"
        low = "" if self.min is None else f"{'above' if self.exclusive_min else 'from'} {self.min:g}"
        high = "" if self.max is None else f"{'below' if self.exclusive_max else 'up to'} {self.max:g}"
        kind = {"int": "a whole number", "float": "a number", "string": "text"}[self.type]
        return " ".join(part for part in (kind, low, high) if part)

    def check(self, value: str | bool | int | float, *, image: TrainingImage) -> None:
        """Raises ValueError, naming the allowed values, where `value` is of the wrong type or out of range."""
        if not self._accepts(value, image):
            raise ValueError(f"hyperparameter {self.name}: {value!r} is not allowed, it takes {self.allowed(image)}")

    def _accepts(self, value: str | bool | int | float, image: TrainingImage) -> bool:
        if choices := self.choices_for(image):
            return str(value) in choices
        if self.type == "string":
            return isinstance(value, str) and (self.pattern is None or re.fullmatch(self.pattern, value) is not None)
        if isinstance(value, float) and not math.isfinite(value):
            return False
        if isinstance(value, str | bool) or (self.type == "int" and not isinstance(value, int)):
            return False
        too_low = self.min is not None and (value <= self.min if self.exclusive_min else value < self.min)
        too_high = self.max is not None and (value >= self.max if self.exclusive_max else value > self.max)
        return not too_low and not too_high


@functools.cache
def table() -> dict[str, Hyperparameter]:
    """All hyperparameters by name, in the table's order."""
    rows = [Hyperparameter.model_validate(row) for row in json.loads(TABLE_PATH.read_text(encoding="utf-8"))]
    return {row.name: row for row in rows}


def check_hyperparameters(values: Mapping[str, str | bool | int | float], *, image: TrainingImage) -> None:
    """Raises ValueError for the first name or value that the chosen training image would refuse."""
    for name, value in values.items():
        if name in NOT_SETTABLE:
            raise ValueError(f"hyperparameter {name} cannot be set: {NOT_SETTABLE[name]}")
        row = table().get(name)
        if row is None:
            near = difflib.get_close_matches(name, table(), n=1)
            hint = f"did you mean {near[0]}?" if near else f"known ones: {', '.join(table())}"
            raise ValueError(f"hyperparameter {name} is unknown: {hint}")
        if image not in row.images:
            raise ValueError(f"hyperparameter {name} is not known to the {image} image: remove it, or set image: own")
        row.check(value, image=image)
