"""From a trained model to the one that is served, with everything that was measured on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evaluate.model import Model
from evaluate.predict import Predictions, predict
from package.inputs import Inputs, Options
from package.onnx_export import export
from package.onnx_model import OnnxModel
from package.parity import Parity, check_parity
from package.precision import Chosen, choose
from package.scores import accuracy


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Answers to the test records of the trained model and of the exported fp32 one, their parity, and what is served.

    ``fp32_bytes`` is the size of the exported model's file.
    """

    trained: Predictions
    fp32: Predictions
    fp32_bytes: int
    parity: Parity
    chosen: Chosen

    def described(self) -> dict[str, Any]:
        """Return what package.json says about it."""
        return {
            "precision": self.chosen.precision,
            "requested_precision": self.chosen.requested,
            "reason": self.chosen.reason,
            "accuracy": accuracy(self.chosen.answers),
            "int8_accuracy": None if self.chosen.int8 is None else accuracy(self.chosen.int8),
            "parity": {
                "records": self.parity.records,
                "max_difference": self.parity.max_difference,
                "ties": self.parity.ties,
            },
        }


def convert(model: Model, inputs: Inputs, options: Options, *, classes: list[str]) -> Converted:
    """Export a model, assert that it answers every test record as before, and choose its precision.

    ContainerError where it does not, the model cannot be exported, or records are missing or damaged.
    """
    trained = predict(model, inputs.test_records, num_classes=len(classes))
    exported = export(model)
    fp32 = OnnxModel(exported).predict(inputs.test_records, trained.labels)
    parity = check_parity(trained, fp32, inputs.test_records, classes=classes)
    chosen = choose(
        exported,
        fp32,
        requested=options.precision,
        max_accuracy_drop=options.max_accuracy_drop,
        min_accuracy=options.min_accuracy,
        test=inputs.test_records,
        validation=inputs.validation_records,
    )
    return Converted(trained=trained, fp32=fp32, fp32_bytes=len(exported), parity=parity, chosen=chosen)
