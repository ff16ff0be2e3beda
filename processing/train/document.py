"""training.json: with what a job ran, how its epochs went, and which parameters are its result."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from train import history
from train.artifacts import parameters_name
from train.checks import Check
from train.history import EpochResult
from train.hyperparameters import Hyperparameters, on_the_wire

SCHEMA_VERSION = 1


def training(
    hyperparameters: Hyperparameters,
    epochs: Sequence[EpochResult],
    checks: Sequence[Check],
    *,
    selected_by: str,
    base_model: Mapping[str, str] | None,
) -> dict[str, Any]:
    """The document; `selected_by` is the validation metric of the best epoch, `base_model` its channel and sha256."""
    best_epoch = history.best(epochs, selected_by).epoch
    return {
        "schema_version": SCHEMA_VERSION,
        "hyperparameters": on_the_wire(hyperparameters),
        "num_layers": hyperparameters.num_layers,
        "num_classes": hyperparameters.num_classes,
        "image_shape": list(hyperparameters.image_shape),
        "best_epoch": best_epoch,
        "best_params": parameters_name(best_epoch),
        "selected_by": selected_by,
        "base_model": base_model,
        "epochs": [asdict(result) for result in epochs],
        "checks": [asdict(check) for check in checks],
    }
