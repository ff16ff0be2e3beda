"""Hyperparameters: parses and checks the strings of hyperparameters.json against the table.

The table `processing/train/hyperparameters.json` follows the AWS documentation page "Image Classification
Hyperparameters" (https://docs.aws.amazon.com/sagemaker/latest/dg/IC-Hyperparameter.html). It is data, because the
pipeline definition checks against the same file. Fields of an entry, all always present:

    name            as on the wire
    type            "int", "float" or "string"
    required        true: there is no default and a value must be given
    default         value of `type`, or null where the documentation says "no default value"
    min, max        inclusive bounds of a number, or null
    exclusive_min, exclusive_max   true: the bound itself is not allowed
    choices         the only values allowed, or null
    own_choices     what our own image accepts instead of `choices`, where the two differ, or null
    pattern         regular expression that a string matches in full, or null
    description     one or two sentences for a person
    images          ["builtin", "own"], or ["own"] for what only our own image knows
"""

import difflib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.contract import ContainerError

RGB_CHANNELS = 3
TABLE_PATH = Path(__file__).with_name("hyperparameters.json")
# SageMaker's tuner adds this one to every job it starts.
SET_BY_SERVICE = frozenset({"_tuning_objective_metric"})


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Parsed values, one field per entry of the table; None where nothing was given and there is no default."""

    num_classes: int
    num_training_samples: int
    augmentation_type: str | None
    beta_1: float
    beta_2: float
    checkpoint_frequency: int | None
    early_stopping: bool
    early_stopping_min_epochs: int
    early_stopping_patience: int
    early_stopping_tolerance: float
    epochs: int
    eps: float
    gamma: float
    image_shape: tuple[int, int, int]
    kv_store: str | None
    learning_rate: float
    lr_scheduler_factor: float
    lr_scheduler_step: tuple[int, ...]
    mini_batch_size: int
    momentum: float
    multi_label: int
    num_layers: int
    optimizer: str
    precision_dtype: str
    resize: int | None
    top_k: int | None
    use_pretrained_model: int
    use_weighted_loss: int
    weight_decay: float
    seed: int


def table() -> list[dict[str, Any]]:
    """The hyperparameter table in the order of the file."""
    entries: list[dict[str, Any]] = json.loads(TABLE_PATH.read_text(encoding="utf-8"))
    return entries


def load(path: Path) -> Hyperparameters:
    """Read and check SageMaker's hyperparameters.json, an object of strings."""
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContainerError(f"hyperparameters file {path} is missing; at least num_classes is needed") from None
    except ValueError as error:
        raise ContainerError(f"hyperparameters file {path} is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise ContainerError(f"hyperparameters file {path} holds a {type(given).__name__}; write an object of strings")
    return parse(given)


def parse(given: Mapping[str, str]) -> Hyperparameters:
    """Turn strings into typed values, fill in the defaults, and check each value and their combination.

    Raises ContainerError, one line with the name, the value and what is allowed.
    """
    entries = {entry["name"]: entry for entry in table()}
    _refuse_unknown(given, entries)
    values = {name: _value(entry, given.get(name)) for name, entry in entries.items()}
    values["early_stopping"] = values["early_stopping"] == "True"
    values["image_shape"] = _integers(values["image_shape"])
    values["lr_scheduler_step"] = _integers(values["lr_scheduler_step"])
    if values["augmentation_type"] == "none":
        values["augmentation_type"] = None
    hyperparameters = Hyperparameters(**values)
    _check_together(hyperparameters)
    return hyperparameters


def on_the_wire(hyperparameters: Hyperparameters) -> dict[str, str]:
    """The values as the strings that `parse` makes them from; without those that have none."""
    values = {name: value for name, value in asdict(hyperparameters).items() if value is not None and value != ()}
    return {
        name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value) for name, value in values.items()
    }


def _refuse_unknown(given: Mapping[str, str], entries: Mapping[str, Any]) -> None:
    for name in given:
        if name in entries or name in SET_BY_SERVICE:
            continue
        near = difflib.get_close_matches(name, entries, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(entries)}"
        raise ContainerError(f"hyperparameter {name} is unknown; {hint}")


def _value(entry: Mapping[str, Any], text: str | None) -> Any:
    if text is None:
        if entry["required"]:
            raise ContainerError(f"hyperparameter {entry['name']} is required; allowed: {allowed(entry)}")
        return entry["default"]
    if not isinstance(text, str):
        raise ContainerError(
            f"hyperparameter {entry['name']} is {json.dumps(text)}, a {type(text).__name__}; SageMaker passes strings, "
            f'write "{text}"'
        )
    value = _typed(entry, text)
    choices = entry["own_choices"] or entry["choices"]
    if choices is not None and value not in choices:
        raise _refusal(entry, text)
    if _outside(entry, value) or (entry["pattern"] is not None and not re.fullmatch(entry["pattern"], value)):
        raise _refusal(entry, text)
    return value


def _typed(entry: Mapping[str, Any], text: str) -> Any:
    if entry["type"] == "string":
        return text
    try:
        value = int(text) if entry["type"] == "int" else float(text)
    except ValueError:
        raise _refusal(entry, text) from None
    if not math.isfinite(value):
        raise _refusal(entry, text)
    return value


def _outside(entry: Mapping[str, Any], value: Any) -> bool:
    low, high = entry["min"], entry["max"]
    below = low is not None and (value < low or (entry["exclusive_min"] and value == low))
    above = high is not None and (value > high or (entry["exclusive_max"] and value == high))
    return below or above


def _refusal(entry: Mapping[str, Any], text: str) -> ContainerError:
    return ContainerError(f"hyperparameter {entry['name']} is {text!r}; allowed: {allowed(entry)}")


def allowed(entry: Mapping[str, Any]) -> str:
    """The values an entry of the table allows, in words."""
    choices = entry["own_choices"] or entry["choices"]
    if choices is not None:
        return " or ".join(str(choice) for choice in choices)
    if entry["type"] == "string":
        return f"text like {entry['default'] or '10,20'!r}"
    kind = {"int": "a whole number", "float": "a number"}[entry["type"]]
    low, high = entry["min"], entry["max"]
    above = f" {'above' if entry['exclusive_min'] else 'of at least'} {low}" if low is not None else ""
    below = f" {'below' if entry['exclusive_max'] else 'at most'} {high}" if high is not None else ""
    return f"{kind}{above}{' and' if above and below else ''}{below}"


def _integers(text: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",")) if text else ()


def _check_together(hyperparameters: Hyperparameters) -> None:
    frequency, epochs = hyperparameters.checkpoint_frequency, hyperparameters.epochs
    if frequency is not None and frequency > epochs:
        raise ContainerError(f"hyperparameter checkpoint_frequency is {frequency}, more than epochs ({epochs})")
    steps = hyperparameters.lr_scheduler_step
    if list(steps) != sorted(set(steps)):
        text = ",".join(map(str, steps))
        raise ContainerError(f"hyperparameter lr_scheduler_step is '{text}'; the epochs must rise, as in '10,20'")
    channels, *sides = hyperparameters.image_shape
    if channels != RGB_CHANNELS:
        shape = ",".join(map(str, hyperparameters.image_shape))
        raise ContainerError(f"hyperparameter image_shape is '{shape}'; the own image reads RGB records, use '3,H,W'")
    if hyperparameters.multi_label and hyperparameters.top_k is not None:
        raise ContainerError(
            f"hyperparameter top_k is {hyperparameters.top_k} with multi_label 1; it counts the first classes of one "
            "right one, leave it out"
        )
    if hyperparameters.multi_label and hyperparameters.num_classes == 1:
        raise ContainerError(
            "hyperparameter num_classes is 1 with multi_label 1; images with several labels need at least 2 classes, "
            "raise it"
        )
    if hyperparameters.use_weighted_loss and not hyperparameters.multi_label:
        raise ContainerError(
            "hyperparameter use_weighted_loss is 1 with multi_label 0; it weights the classes of images with several "
            "labels, leave it out"
        )
    resize = hyperparameters.resize
    if resize is not None and resize < max(sides):
        raise ContainerError(
            f"hyperparameter resize is {resize}, less than the longer side of image_shape ({max(sides)}); raise it"
        )
