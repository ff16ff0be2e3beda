"""CreateModel: the model version that Plan found, as a model that a transform job can run."""

from __future__ import annotations

from dataclasses import dataclass

from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.model_step import ModelStep

from pipeline_def.placeholders import MODEL_PACKAGE_GROUP_NAME, placeholder
from pipeline_def.sdk import STAND_IN_ROLE_ARN
from pipeline_def.steps.context import TransformContext, service_retries
from pipeline_def.steps.plan_transform import MODEL_PACKAGE_ARN, MODEL_VERSION


@dataclass(frozen=True)
class _Model:
    """Stands where the SDK's ModelStep looks up its session; the request itself is complete without a model."""

    sagemaker_session: PipelineSession


def create_model_step(context: TransformContext, plan: LambdaStep) -> ModelStep:
    """A network-isolated model of the version's package; image and artifact are the package's own.

    A transform job leaves out the answer to a request that is refused and ends as failed, so this model answers such a
    request with the refusal itself: IMGPIPE_ANSWER_ERRORS.
    """
    found = plan.properties.Outputs
    context.session.init_model_step_arguments(_Model(context.session))
    context.session.create_model(
        name="transform",  # the service names it
        role=STAND_IN_ROLE_ARN,
        container_defs={
            "ModelPackageName": found[MODEL_PACKAGE_ARN],
            "Environment": {
                "IMGPIPE_ANSWER_ERRORS": "true",
                "IMGPIPE_MAX_PAYLOAD_BYTES": str(context.settings.transform.max_payload_mb * 2**20),
                "IMGPIPE_MODEL_NAME": Join(
                    on="-v", values=[placeholder(MODEL_PACKAGE_GROUP_NAME), found[MODEL_VERSION]]
                ),
            },
        },
        enable_network_isolation=True,
    )
    return ModelStep(
        name="CreateModel",
        display_name="Create the model",
        description="Makes a model of the version's image and artifact for the transform job.",
        step_args=context.session.context,
        retry_policies=service_retries(),
    )
