"""Transform: a batch transform job that puts every planned image to the model, one in a request."""

from __future__ import annotations

from typing import Any

from sagemaker.core.transformer import Transformer
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.model_step import ModelStep
from sagemaker.mlops.workflow.steps import TransformStep

from pipeline_def.parameters import TransformPipelineParameters
from pipeline_def.steps.context import TransformContext, job_retries
from pipeline_def.steps.plan_transform import MANIFEST_URI

# Any format that the packer reads: an S3 prefix may hold several, and a job has one content type.
CONTENT_TYPE = "application/x-image"


class _TransformStep(TransformStep):  # type: ignore[misc]  # the SDK comes without types here
    """A transform step with a parameter where the SDK's transformer takes literal numbers only."""

    def __init__(self, *, parameters: TransformPipelineParameters, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._parameters = parameters

    @property
    def arguments(self) -> dict[str, Any]:
        """See TransformStep."""
        request: dict[str, Any] = super().arguments
        request["TransformResources"]["InstanceCount"] = self._parameters.instance_count
        return request


def transform_step(context: TransformContext, plan: LambdaStep, model: ModelStep) -> TransformStep:
    """Answers lie below the execution's prefix, `<key>.out` for each image.

    Not cached: the model's name is part of the cache key, and every execution makes one.
    """
    parameters, settings = context.parameters, context.settings.transform
    transformer = Transformer(
        model_name=model.properties.ModelName,
        instance_count=settings.instance_count,  # replaced by the parameter
        instance_type=parameters.instance_type,
        strategy="SingleRecord",
        output_path=context.output("transform"),
        accept="application/json",
        assemble_with="None",
        max_concurrent_transforms=parameters.max_concurrent_transforms,
        max_payload=settings.max_payload_mb,
        sagemaker_session=context.session,
    )
    return _TransformStep(
        parameters=parameters,
        name="Transform",
        display_name="Classify the images",
        description="Puts each image of the manifest to the model and stores its answer below the execution's prefix.",
        step_args=transformer.transform(
            data=plan.properties.Outputs[MANIFEST_URI],
            data_type="ManifestFile",
            content_type=CONTENT_TYPE,
            split_type="None",
            model_client_config={"InvocationsTimeoutInSeconds": settings.timeout_seconds, "InvocationsMaxRetries": 3},
        ),
        retry_policies=job_retries(),
    )
