"""Processing steps of our own containers: the directory contract, isolation and limits, the same for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.network import NetworkConfig
from sagemaker.core.processing import Processor
from sagemaker.core.shapes import ProcessingInput, ProcessingOutput, ProcessingS3Input, ProcessingS3Output
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.placeholders import placeholder
from pipeline_def.sdk import STAND_IN_ROLE_ARN
from pipeline_def.steps.context import Shared, job_retries

Text: TypeAlias = "str | PipelineVariable"


@dataclass(frozen=True, kw_only=True)
class Container:
    """One of our programs as a processing job: `python -m <program>` in an image of ours."""

    program: str
    image: str  # a placeholder's name
    instance_type: Text
    volume_size_gb: int
    max_runtime_minutes: int
    instance_count: int = 1
    arguments: Sequence[Text] = ()
    environment: Mapping[str, Text] = field(default_factory=dict)


def processing_step(
    context: Shared,
    container: Container,
    *,
    name: str,
    display_name: str,
    description: str,
    inputs: Mapping[str, Text],
    outputs: Mapping[str, Text],
    sharded: Collection[str] = (),
    property_files: Sequence[PropertyFile] = (),
) -> ProcessingStep:
    """A cached, network-isolated processing step; inputs and outputs map a directory's name to its S3 URI.

    Of an input named in `sharded` each instance gets a share of the objects, of every other one all of them.
    """
    processor = Processor(
        role=STAND_IN_ROLE_ARN,
        image_uri=placeholder(container.image),
        entrypoint=["python", "-m", container.program],
        instance_count=container.instance_count,
        instance_type=container.instance_type,
        volume_size_in_gb=container.volume_size_gb,
        max_runtime_in_seconds=container.max_runtime_minutes * 60,
        env=dict(container.environment) or None,
        network_config=NetworkConfig(enable_network_isolation=True),
        sagemaker_session=context.session,
    )
    arguments = processor.run(
        inputs=[_input(name, uri, sharded=name in sharded) for name, uri in inputs.items()],
        outputs=[_output(name, uri) for name, uri in outputs.items()],
        arguments=list(container.arguments) or None,
    )
    return ProcessingStep(
        name=name,
        display_name=display_name,
        description=description,
        step_args=arguments,
        property_files=list(property_files),
        cache_config=context.cache(),
        retry_policies=job_retries(),
    )


def output_uri(step: ProcessingStep, name: str) -> PipelineVariable:
    """Where a step's output really lies: after a cache hit that is below an older execution's prefix."""
    return step.properties.ProcessingOutputConfig.Outputs[name].S3Output.S3Uri


def json_value(step: ProcessingStep, file: PropertyFile, path: str) -> JsonGet:
    """A value from a JSON file that `step` wrote and declared as a property file."""
    return JsonGet(step_name=step.name, property_file=file, json_path=path)


def _input(name: str, uri: Text, *, sharded: bool) -> ProcessingInput:
    return ProcessingInput(
        input_name=name,
        s3_input=ProcessingS3Input(
            s3_uri=uri,
            local_path=f"/opt/ml/processing/input/{name}",
            s3_data_type="S3Prefix",
            s3_input_mode="File",
            s3_data_distribution_type="ShardedByS3Key" if sharded else "FullyReplicated",
        ),
    )


def _output(name: str, uri: Text) -> ProcessingOutput:
    return ProcessingOutput(
        output_name=name,
        s3_output=ProcessingS3Output(
            s3_uri=uri, local_path=f"/opt/ml/processing/output/{name}", s3_upload_mode="EndOfJob"
        ),
    )
