"""Settings of the evaluation: its machine, the gates between it and the registry, and what it suggests."""

from __future__ import annotations

import difflib
import math
from typing import Final

from pydantic import Field, field_validator

from pipeline_def.settings.section import InstanceType, Section

# Metrics of evaluation.json that every evaluation has a number for; true: more is better.
GATE_METRICS: Final = {
    "accuracy": True,
    "top_k_accuracy": True,
    "macro_precision": True,
    "macro_recall": True,
    "macro_f1": True,
    "weighted_precision": True,
    "weighted_recall": True,
    "weighted_f1": True,
    "worst_class_recall": True,
    "mse": False,
    "log_loss": False,
    "expected_calibration_error": False,
}


class EvaluateSettings(Section):
    """The evaluation and packaging jobs, and the gate between them."""

    instance_type: InstanceType = Field("ml.m5.xlarge", description="Instance of the evaluation and packaging jobs")
    volume_size_gb: int = Field(30, ge=1, le=16384, description="Disk of those jobs, in GB")
    max_runtime_minutes: int = Field(60, ge=1, le=7200, description="Limit after which such a job is stopped")
    top_k: int = Field(5, ge=2, le=100, description="k of the reported top-k accuracy")
    gates: dict[str, float] = Field(
        default_factory=lambda: {"accuracy": 0.8},
        min_length=1,
        description="Metrics of the test set that a model needs to be registered, each with its threshold: at least, "
        "or at most for mse, log_loss and expected_calibration_error",
    )
    champion_margin: float = Field(
        0.02,
        ge=0,
        le=1,
        description="How much less accurate than the newest approved model a new one may be, noise of the test set "
        "included; 1 switches the comparison off",
    )
    threshold_precision: float = Field(
        0.95, gt=0, le=1, description="Precision that the suggested confidence thresholds are to reach"
    )

    @field_validator("gates")
    @classmethod
    def _check_gates(cls, gates: dict[str, float]) -> dict[str, float]:
        for metric, threshold in gates.items():
            if metric not in GATE_METRICS:
                near = difflib.get_close_matches(metric, GATE_METRICS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known ones: {', '.join(GATE_METRICS)}"
                raise ValueError(f"metric {metric} is unknown: {hint}")
            most = math.inf if metric == "log_loss" else 1
            if not 0 <= threshold <= most or math.isinf(threshold):
                allowed = "a number from 0" if metric == "log_loss" else "a number from 0 up to 1"
                raise ValueError(f"{metric}: threshold {threshold:g} is out of range, it takes {allowed}")
        return gates
