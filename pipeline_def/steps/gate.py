"""Gate: a model below the threshold ends the execution with metric, value and threshold in the message."""

from __future__ import annotations

from collections.abc import Sequence

from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.fail_step import FailStep
from sagemaker.mlops.workflow.steps import ProcessingStep, Step

from pipeline_def.steps.context import Context
from pipeline_def.steps.evaluate import EVALUATION_FILE
from pipeline_def.steps.processing import json_value

METRIC = "accuracy"


def gate_step(context: Context, evaluate: ProcessingStep, if_passed: Sequence[Step]) -> ConditionStep:
    """Runs `if_passed` where the test accuracy reaches `AccuracyThreshold`, and fails the execution otherwise."""
    value = json_value(evaluate, EVALUATION_FILE, f"metrics.{METRIC}.value")
    threshold = context.parameters.accuracy_threshold
    fail = FailStep(
        name="BelowThreshold",
        display_name="Below the threshold",
        description="Ends the execution: the model is not registered.",
        error_message=Join(
            on=" ",
            values=[f"Gate not passed: {METRIC}", value, "on the test set is below AccuracyThreshold", threshold],
        ),
    )
    return ConditionStep(
        name="Gate",
        display_name="Good enough?",
        description="Compares the test accuracy with AccuracyThreshold.",
        conditions=[ConditionGreaterThanOrEqualTo(left=value, right=threshold)],
        if_steps=list(if_passed),
        else_steps=[fail],
    )
