"""Gate: a model below a threshold, or worse than the champion, ends the execution with the values in the message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagemaker.core.workflow.conditions import (
    Condition,
    ConditionGreaterThanOrEqualTo,
    ConditionLessThanOrEqualTo,
)
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.steps import ProcessingStep, Step

from pipeline_def.parameters import threshold_name
from pipeline_def.settings.evaluate import GATE_METRICS
from pipeline_def.steps.context import Context
from pipeline_def.steps.evaluate import EVALUATION_FILE
from pipeline_def.steps.processing import json_value


def gate_step(context: Context, evaluate: ProcessingStep, if_passed: Sequence[Step]) -> ConditionStep:
    """Runs `if_passed` where every metric reaches its threshold and the model is not worse than the champion.

    Fails the execution otherwise; all gates are in the message, for a condition does not say which one failed.
    """
    conditions: list[Condition] = []
    message: list[Any] = ["Gate not passed:"]
    for metric, threshold in context.parameters.gates.items():
        value = json_value(evaluate, EVALUATION_FILE, f"metrics.{metric}.value")
        more_is_better = GATE_METRICS[metric]
        compare = ConditionGreaterThanOrEqualTo if more_is_better else ConditionLessThanOrEqualTo
        conditions.append(compare(left=value, right=threshold))
        bound = "at least" if more_is_better else "at most"
        message += [f"{metric}", value, f"({threshold_name(metric)}: {bound}", Join(on="", values=[threshold, ");"])]
    worse_by = json_value(evaluate, EVALUATION_FILE, "champion.worse_by")
    margin = context.parameters.champion_margin
    conditions.append(ConditionLessThanOrEqualTo(left=worse_by, right=margin))
    message += [
        "worse than the champion by up to",
        worse_by,
        "(ChampionMargin: at most",
        Join(on="", values=[margin, ")"]),
    ]
    fail = FailStep(
        name="BelowThreshold",
        display_name="Below the threshold",
        description="Ends the execution: the model is not registered.",
        error_message=Join(on=" ", values=message),
    )
    return ConditionStep(
        name="Gate",
        display_name="Good enough?",
        description="Compares the metrics of the test set with their thresholds, and the model with the champion.",
        conditions=conditions,
        if_steps=list(if_passed),
        else_steps=[fail],
    )
