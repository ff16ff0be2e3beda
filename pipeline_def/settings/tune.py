"""Settings of hyperparameter tuning: strategy, ranges, limits, with the rules of the service.

Rules: "Best Practices for Hyperparameter Tuning", "Run a Warm Start Hyperparameter Tuning Job" and the quotas of
automatic model tuning (https://docs.aws.amazon.com/sagemaker/latest/dg/automatic-model-tuning.html). What may be tuned
and as which type: "Tunable Image Classification Hyperparameters" (.../dg/IC-tuning.html).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag, field_validator, model_validator
from typing_extensions import Self

from pipeline_def.hyperparameters import TrainingImage, table
from pipeline_def.settings.section import Section

TUNABLE: Final = (
    "learning_rate",
    "mini_batch_size",
    "optimizer",
    "momentum",
    "weight_decay",
    "beta_1",
    "beta_2",
    "eps",
    "gamma",
)
MOST_COMBINATIONS: Final = 750  # quota "Number of training jobs per hyperparameter tuning job"
Scaling = Literal["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"]
TuningJobName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,31}$", max_length=32)]
MOST_VALUES: Final = 30  # of a categorical range: ParameterValues in the service's model
Value = str | int | float


class NumberRange(Section):
    """A range of numbers, both ends included."""

    min: float = Field(allow_inf_nan=False, description="Lowest value")
    max: float = Field(allow_inf_nan=False, description="Highest value")
    scaling: Scaling = Field("Auto", description="How the search spreads its values over the range")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min >= self.max:
            raise ValueError(f"range is upside down: min {self.min:g} must be below max {self.max:g}")
        if self.scaling == "Logarithmic" and self.min <= 0:
            raise ValueError(f"scaling Logarithmic needs min above 0, it is {self.min:g}: raise it, or use Linear")
        if self.scaling == "ReverseLogarithmic" and not (self.min >= 0 and self.max < 1):
            raise ValueError("scaling ReverseLogarithmic needs a range from 0 up to below 1: change it, or use Linear")
        return self


class WarmStart(Section):
    """Earlier tuning jobs that a new one learns from."""

    parents: tuple[TuningJobName, ...] = Field(min_length=1, max_length=5, description="Names of tuning jobs")
    type: Literal["IdenticalDataAndAlgorithm", "TransferLearning"] = Field(
        "TransferLearning", description="IdenticalDataAndAlgorithm: neither data nor image have changed"
    )

    @field_validator("parents")
    @classmethod
    def _check_parents(cls, parents: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(parents)) != len(parents):
            raise ValueError("name each parent once")
        return parents


def _kind(value: object) -> str:
    return "[values]" if isinstance(value, list | tuple) else "{range}"


# Told apart by their form, so that an error speaks of the one that was meant.
Range = Annotated[
    Annotated[NumberRange, Tag("{range}")] | Annotated[tuple[Value, ...], Tag("[values]")], Discriminator(_kind)
]


def _default_ranges() -> dict[str, Range]:
    return {
        "learning_rate": NumberRange(min=0.001, max=0.1, scaling="Logarithmic"),
        "weight_decay": NumberRange(min=0.00001, max=0.01, scaling="Logarithmic"),
        "optimizer": ("sgd", "nag"),
    }


class TuneSettings(Section):
    """The tuning job of the pipeline `tune`; its objective is validation:accuracy."""

    strategy: Literal["Bayesian", "Random", "Hyperband", "Grid"] = Field(
        "Bayesian", description="How values are chosen"
    )
    ranges: dict[str, Range] = Field(
        default_factory=_default_ranges,
        min_length=1,
        max_length=30,
        description="Hyperparameters to tune: {min, max, scaling}, or a list of values",
    )
    max_jobs: int = Field(
        10, ge=1, le=MOST_COMBINATIONS, description="Training jobs in all; with Grid all combinations are run instead"
    )
    max_parallel_jobs: int = Field(2, ge=1, le=100, description="Training jobs at the same time")
    max_runtime_minutes: int = Field(1440, ge=2, le=43200, description="Limit of the whole tuning job")
    early_stopping: Literal["Auto", "Off"] = Field("Off", description="Auto: hopeless training jobs are stopped early")
    hyperband_min_epochs: int = Field(2, ge=1, description="Hyperband: epochs that every training job gets")
    hyperband_max_epochs: int = Field(0, ge=0, description="Hyperband: epochs of the best ones; 0 means `epochs`")
    warm_start: WarmStart | None = Field(None, description="Earlier tuning jobs to learn from: {parents, type}")
    continue_epochs: int = Field(
        0,
        ge=0,
        le=10000,
        description="Epochs that the best model is trained on for, incrementally; 0: it is taken as is",
    )

    @property
    def number_of_jobs(self) -> int:
        """Training jobs in all: the combinations with Grid, else `max_jobs`."""
        if self.strategy != "Grid":
            return self.max_jobs
        return math.prod(len(values) for values in self.ranges.values() if isinstance(values, tuple))

    @model_validator(mode="after")
    def _check_strategy(self) -> Self:
        if self.strategy == "Hyperband" and self.early_stopping == "Auto":
            raise ValueError("early_stopping Auto is not for Hyperband, which stops jobs by itself: set it to Off")
        if self.strategy == "Hyperband" and 0 < self.hyperband_max_epochs <= self.hyperband_min_epochs:
            raise ValueError(
                f"hyperband_max_epochs {self.hyperband_max_epochs} must be above hyperband_min_epochs "
                f"{self.hyperband_min_epochs}"
            )
        if self.warm_start and self.strategy not in ("Bayesian", "Random"):
            raise ValueError(f"warm_start is for Bayesian and Random search, not for {self.strategy}: remove it")
        numbers = [name for name, values in self.ranges.items() if isinstance(values, NumberRange)]
        if self.strategy == "Grid" and numbers:
            raise ValueError(
                f"ranges.{numbers[0]}: Grid takes lists of values only: write [0.01, 0.1], or use Bayesian"
            )
        return self

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        if self.number_of_jobs > MOST_COMBINATIONS:
            raise ValueError(
                f"ranges make {self.number_of_jobs} combinations, a tuning job runs {MOST_COMBINATIONS}: remove values"
            )
        if self.max_parallel_jobs > self.number_of_jobs:
            raise ValueError(
                f"max_parallel_jobs {self.max_parallel_jobs} is above the {self.number_of_jobs} jobs there are: "
                "lower it"
            )
        return self

    def check_ranges(self, given: Mapping[str, object], *, image: TrainingImage) -> None:
        """Raises ValueError for a range that no training job of `image` would take; `given` are the hyperparameters."""
        for name, values in self.ranges.items():
            _check_range(name, values, image)
        epochs = given.get("epochs", table()["epochs"].default)
        longest = self.hyperband_max_epochs or epochs
        if self.strategy == "Hyperband" and isinstance(longest, int) and longest <= self.hyperband_min_epochs:
            raise ValueError(
                f"tune.hyperband_min_epochs {self.hyperband_min_epochs} must be below the {longest} epochs of a job"
            )


def _check_range(name: str, values: Range, image: TrainingImage) -> None:
    if name not in TUNABLE:
        near = [] if name in table() else difflib.get_close_matches(name, TUNABLE, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it can be {', '.join(TUNABLE)}"
        raise ValueError(f"tune.ranges: hyperparameter {name} cannot be tuned: {hint}")
    row = table()[name]
    if isinstance(values, tuple):
        if len(set(values)) != len(values) or not values:
            raise ValueError(f"tune.ranges.{name}: name each value once, and at least one")
        if len(values) > MOST_VALUES:
            raise ValueError(f"tune.ranges.{name}: {len(values)} values are too many, a list takes {MOST_VALUES}")
        bounds: tuple[Value, ...] = values
    elif row.type == "string":
        raise ValueError(f"tune.ranges.{name}: takes a list of values out of {', '.join(row.choices_for(image))}")
    else:
        bounds = (values.min, values.max)
    for value in bounds:
        whole = row.type == "int" and isinstance(value, float) and value.is_integer()
        try:
            row.check(int(value) if whole else value, image=image)
        except ValueError as error:
            raise ValueError(f"tune.ranges.{name}: {error}") from None
