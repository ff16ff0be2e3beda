"""A SageMaker pipeline: its definition, with CloudFormation's values in place of the placeholders."""

from __future__ import annotations

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sagemaker as sagemaker
from constructs import Construct

from infra.settings import EnvironmentSettings
from pipeline_def.placeholders import check_substitution, find, json_escape


class Pipeline(Construct):
    """Pipeline `<prefix>-<name>`; `values` holds a value, or CDK token, for each placeholder of `definition`.

    It may hold others too, as pipelines share them.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        name: str,
        description: str,
        definition: str,
        values: Mapping[str, str],
        role: iam.IRole,
    ) -> None:
        super().__init__(scope, construct_id)
        used = {placeholder: values[placeholder] for placeholder in sorted(find(definition) & values.keys())}
        check_substitution(definition, used)
        # A literal must be fit for a JSON string; a token's value comes from CloudFormation and holds names and ARNs.
        filled = {key: value if cdk.Token.is_unresolved(value) else json_escape(value) for key, value in used.items()}
        self.pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=settings.pipeline_name(name),
            pipeline_display_name=settings.pipeline_name(name),
            pipeline_description=description,
            pipeline_definition={"PipelineDefinitionBody": cdk.Fn.sub(definition, filled)},
            parallelism_configuration={"MaxParallelExecutionSteps": settings.max_parallel_steps},
            role_arn=role.role_arn,
        )
        # The service checks on create that the role may run the steps, so its policy has to be there.
        self.pipeline.node.add_dependency(role)
