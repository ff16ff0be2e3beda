"""What every pipeline ends with: a trained model is evaluated, passes the gate or not, is packaged and registered."""

from __future__ import annotations

from typing import Any

from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.steps.context import Context
from pipeline_def.steps.evaluate import evaluate_step
from pipeline_def.steps.gate import gate_step
from pipeline_def.steps.package import package_step, smoke_test_step
from pipeline_def.steps.processing import Text
from pipeline_def.steps.register import Lineage, register_step


def registering_steps(
    context: Context,
    resolve: LambdaStep,
    preprocess: ProcessingStep,
    lineage: Lineage,
    *,
    trials_uri: Text | None = None,
) -> list[Any]:
    """Evaluate and Gate, with Package, SmokeTest, Register and BelowThreshold in the gate's branches."""
    evaluate = evaluate_step(context, resolve, preprocess, model_uri=lineage.model_uri, trials_uri=trials_uri)
    package = package_step(context, preprocess, evaluate, model_uri=lineage.model_uri)
    smoke_test = smoke_test_step(context, package)
    register = register_step(context, preprocess, evaluate, package, smoke_test, lineage)
    return [evaluate, gate_step(context, evaluate, if_passed=[package, smoke_test, register])]
