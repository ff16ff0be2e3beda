"""Gate: a model below a threshold, or worse than the champion, ends the execution with the values in the message."""

from __future__ import annotations

from collections.abc import Sequence

from sagemaker.core.workflow.conditions import (
    Condition,
    ConditionGreaterThanOrEqualTo,
    ConditionLessThanOrEqualTo,
)
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.steps import ProcessingStep, Step

from pipeline_def.settings.evaluate import GATE_METRICS
from pipeline_def.steps.context import Context
from pipeline_def.steps.evaluate import EVALUATION_FILE, FAILED_GATES, WORSE_BY
from pipeline_def.steps.processing import json_value


def gate_step(context: Context, evaluate: ProcessingStep, if_passed: Sequence[Step]) -> ConditionStep:
    """Runs `if_passed` where every metric reaches its threshold and the model is not worse than the champion.

    Fails the execution otherwise. A condition does not say which part of it failed: Evaluate, which is told the same
    thresholds, has written that down.
    """
    conditions: list[Condition] = []
    for metric, threshold in context.parameters.gates.items():
        value = json_value(evaluate, EVALUATION_FILE, f"metrics.{metric}.value")
        compare = ConditionGreaterThanOrEqualTo if GATE_METRICS[metric] else ConditionLessThanOrEqualTo
        conditions.append(compare(left=value, right=threshold))
    worse_by = json_value(evaluate, EVALUATION_FILE, WORSE_BY)
    conditions.append(ConditionLessThanOrEqualTo(left=worse_by, right=context.parameters.champion_margin))
    failed = json_value(evaluate, EVALUATION_FILE, FAILED_GATES)
    fail = FailStep(
        name="BelowThreshold",
        display_name="Below the threshold",
        description="Ends the execution: the model is not registered.",
        error_message=Join(on=" ", values=["Gate not passed:", failed]),
    )
    return ConditionStep(
        name="Gate",
        display_name="Good enough?",
        description="Compares the metrics of the test set with their thresholds, and the model with the champion.",
        conditions=conditions,
        if_steps=list(if_passed),
        else_steps=[fail],
    )
