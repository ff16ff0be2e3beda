"""What a training job remembers of an epoch, and which epoch is the best."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from train.metrics import LOSS


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """One epoch (0 is the first) as training.json holds it.

    seconds, images_per_second     of the training pass, without validation
    data_wait_fraction             share of those seconds in which the loop waited for the next batch
    train, validation              metric values under their logged names
    gradient_norm                  as `gradients.Norms.summary` gives it
    system                         as `system.Usage.measure` gives it
    """

    epoch: int
    learning_rate: float
    seconds: float
    images_per_second: float
    data_wait_fraction: float
    train: dict[str, float]
    validation: dict[str, float]
    gradient_norm: dict[str, Any]
    system: dict[str, float]


def best(epochs: Sequence[EpochResult], metric: str) -> EpochResult:
    """The epoch of the highest validation `metric`.

    Of epochs with equal values, which small sets have many of, the one with the lower loss, and then the first.
    """
    return max(epochs, key=lambda result: (result.validation[metric], -result.validation[LOSS]))
