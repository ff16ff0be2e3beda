"""The definition of a pipeline as JSON text: equal settings give equal text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pipeline_def.sdk import STAND_IN_ROLE_ARN, offline_session  # first: it prepares the SDK's import

from sagemaker.core.workflow.execution_variables import ExecutionVariables  # isort: skip
from sagemaker.mlops.workflow.pipeline import Pipeline  # isort: skip
from sagemaker.mlops.workflow.pipeline_experiment_config import PipelineExperimentConfig  # isort: skip

from pipeline_def.parameters import build_parameters, build_transform_parameters
from pipeline_def.pipelines import retrain, train, transform, tune
from pipeline_def.placeholders import EXECUTION_ROLE_ARN, placeholder
from pipeline_def.settings import PIPELINES, REGISTERING_PIPELINES, PipelineSettings
from pipeline_def.steps.context import Context, TransformContext
from pipeline_def.steps.register import DEFINITION_VERSION

# The pipelines that end with a registered model; `transform` uses one.
_STEPS: Final[Mapping[str, Callable[[Context], list[Any]]]] = {
    "train": train.steps,
    "tune": tune.steps,
    "retrain": retrain.steps,
}


def build_definition(settings: PipelineSettings, *, pipeline: str, region: str) -> str:
    """The definition of a pipeline, with ${Name} placeholders for what CloudFormation knows.

    `pipeline` is one of PIPELINES, else ValueError. Needs neither credentials nor network. Placeholders are some of
    `pipeline_def.placeholders.NAMES`.
    """
    if pipeline not in PIPELINES:
        raise ValueError(f"pipeline {pipeline!r} is unknown: use one of {', '.join(PIPELINES)}")
    session = offline_session(region)
    parameters, steps = _contents(settings, session, pipeline=pipeline, region=region)
    built = Pipeline(
        name=pipeline,  # not part of the definition
        parameters=parameters,
        steps=steps,
        sagemaker_session=session,
        pipeline_experiment_config=_experiment(settings, pipeline=pipeline),
    )
    definition = _prune(json.loads(built.definition()))
    if settings.tracking_server_arn:
        definition["MlflowConfig"] = {"MlflowResourceArn": settings.tracking_server_arn}
    text = json.dumps(definition, indent=1, ensure_ascii=True, allow_nan=False)
    return _stamp(text.replace(STAND_IN_ROLE_ARN, placeholder(EXECUTION_ROLE_ARN)))


def _contents(settings: PipelineSettings, session: Any, *, pipeline: str, region: str) -> tuple[list[Any], list[Any]]:
    """The parameters and the steps of a pipeline."""
    if pipeline == "transform":
        to_transform = TransformContext(
            session=session, region=region, settings=settings, parameters=build_transform_parameters(settings)
        )
        return to_transform.parameters.all(), transform.steps(to_transform)
    parameters = build_parameters(settings, pipeline=pipeline)
    context = Context(session=session, region=region, settings=settings, parameters=parameters)
    return parameters.all(), _STEPS[pipeline](context)


def _experiment(settings: PipelineSettings, *, pipeline: str) -> PipelineExperimentConfig | None:
    """An experiment of the pipeline's name, in which each execution is a trial; none where nothing is trained."""
    if not settings.experiments or pipeline not in REGISTERING_PIPELINES:
        return None
    return PipelineExperimentConfig(ExecutionVariables.PIPELINE_NAME, ExecutionVariables.PIPELINE_EXECUTION_ID)


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
