"""The SageMaker pipeline: its definition, with CloudFormation's values in place of the placeholders."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.settings import EnvironmentSettings
from pipeline_def.placeholders import check_substitution, json_escape


class Pipeline(Construct):
    """Pipeline `<prefix>`; `values` holds one value, or CDK token, for each placeholder of `definition`."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        definition: str,
        values: Mapping[str, str],
        role: iam.IRole,
    ) -> None:
        super().__init__(scope, construct_id)
        check_substitution(definition, values)
        # A literal must be fit for a JSON string; a token's value comes from CloudFormation and holds names and ARNs.
        filled = {
            name: value if cdk.Token.is_unresolved(value) else json_escape(value) for name, value in values.items()
        }
        self.pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=settings.prefix,
            pipeline_display_name=settings.prefix,
            pipeline_description="Image classification: folder of labelled images to registered model",
            pipeline_definition={"PipelineDefinitionBody": cdk.Fn.sub(definition, filled)},
            parallelism_configuration={"MaxParallelExecutionSteps": settings.max_parallel_steps},
            role_arn=role.role_arn,
        )
        # The service checks on create that the role may run the steps, so its policy has to be there.
        self.pipeline.node.add_dependency(role)
