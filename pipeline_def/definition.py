"""The pipeline's definition as JSON text: equal settings give equal text."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pipeline_def.sdk import STAND_IN_ROLE_ARN, offline_session  # first: it prepares the SDK's import

from sagemaker.mlops.workflow.pipeline import Pipeline  # isort: skip

from pipeline_def.parameters import build_parameters
from pipeline_def.placeholders import EXECUTION_ROLE_ARN, placeholder
from pipeline_def.settings import PipelineSettings
from pipeline_def.steps.context import Context
from pipeline_def.steps.evaluate import evaluate_step
from pipeline_def.steps.gate import gate_step
from pipeline_def.steps.package import package_step
from pipeline_def.steps.preprocess import preprocess_steps
from pipeline_def.steps.register import DEFINITION_VERSION, register_step
from pipeline_def.steps.resolve import resolve_step
from pipeline_def.steps.train import train_step


def build_definition(settings: PipelineSettings, *, region: str) -> str:
    """The definition of the training pipeline, with ${Name} placeholders for what CloudFormation knows.

    Needs neither credentials nor network. Placeholders are those of `pipeline_def.placeholders.NAMES`.
    """
    context = Context(
        session=offline_session(region), region=region, settings=settings, parameters=build_parameters(settings)
    )
    pipeline = Pipeline(
        name="train",  # not part of the definition,
        parameters=context.parameters.all(),
        steps=_steps(context),
        sagemaker_session=context.session,
        pipeline_experiment_config=None,  # experiments would outlive the stacks
    )
    definition = _prune(json.loads(pipeline.definition()))
    text = json.dumps(definition, indent=1, ensure_ascii=True)
    return _stamp(text.replace(STAND_IN_ROLE_ARN, placeholder(EXECUTION_ROLE_ARN)))


def _steps(context: Context) -> list[Any]:
    resolve = resolve_step(context)
    *packing, preprocess = preprocess_steps(context, resolve)
    train = train_step(context, preprocess)
    evaluate = evaluate_step(context, preprocess, train)
    package = package_step(context, preprocess, train, evaluate)
    register = register_step(context, train, package)
    gate = gate_step(context, evaluate, if_passed=[package, register])
    return [resolve, *packing, preprocess, train, evaluate, gate]


def _prune(value: Any) -> Any:
    """Without the nulls and the empty maps that the SDK emits and the service's request models refuse."""
    if isinstance(value, dict):
        pruned = {key: _prune(item) for key, item in value.items()}
        return {key: item for key, item in pruned.items() if item is not None and item != {}}
    if isinstance(value, list):
        return [_prune(item) for item in value]
    return value


def _stamp(text: str) -> str:
    """The definition with its own version in it: the hash of the text before the version is filled in."""
    return text.replace(f'"{DEFINITION_VERSION}"', f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"')
