"""The role of the deployment machine: each statement one need, on the names that the machine gives."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.constructs.scaling_alarms import allow_scaling_alarms
from infra.constructs.statements import allow, listing
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings
from infra.workflows.deployment.context import METRIC_NAMESPACE, live_key, other_endpoint

_SCALING = ("RegisterScalableTarget", "DeregisterScalableTarget", "PutScalingPolicy")


class DeploymentRole(Construct):
    """Least privilege for `<prefix>-deploy`; see the service authorization reference for what is named how."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        artifact_bucket: str,
        endpoint_role: iam.IRole,
        topic: sns.ITopic,
        alarm_arns: list[str],
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings = settings
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "states.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            ),
            description=f"Deploys approved versions to {settings.endpoint_name}",
        )
        to_sagemaker = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
        for statement in (
            *self._registry(),
            *self._hosting(),
            allow("PassEndpointRole", ["iam:PassRole"], [endpoint_role.role_arn], to_sagemaker),
            *self._files(artifact_bucket),
            *self._alarms(alarm_arns),
            *self._scaling(),
            *self._encryption(),
            allow("Notify", ["sns:Publish"], [topic.topic_arn]),
        ):
            self.role.add_to_policy(statement)

    def _sagemaker(self, resource: str, name: str) -> str:
        return cdk.Stack.of(self).format_arn(service="sagemaker", resource=resource, resource_name=name)

    def _registry(self) -> list[iam.PolicyStatement]:
        versions = self._sagemaker("model-package", f"{self._settings.prefix}/*")
        self._explain("Deploys versions of this one group; the service numbers them.", versions)
        actions = ["sagemaker:DescribeModelPackage", "sagemaker:ListModelPackages"]
        return [allow("FindVersions", actions, [versions])]

    def _hosting(self) -> list[iam.PolicyStatement]:
        prefix, endpoint = self._settings.prefix, self._sagemaker("endpoint", self._settings.endpoint_name)
        models = self._sagemaker("model", f"{prefix}-v*")
        configurations = self._sagemaker("endpoint-config", f"{prefix}-v*")
        self._explain("Models are named after their version and settings.", models)
        self._explain("Endpoint configurations are named after their version and settings.", configurations)
        tags = ["sagemaker:AddTags", "sagemaker:ListTags"]
        return [
            allow("MakeModels", ["sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:AddTags"], [models]),
            allow(
                "MakeConfigurations",
                ["sagemaker:CreateEndpointConfig", "sagemaker:DescribeEndpointConfig", "sagemaker:AddTags"],
                [configurations],
            ),
            # The service asks for the configuration and the endpoint both.
            allow(
                "ChangeEndpoint", ["sagemaker:CreateEndpoint", "sagemaker:UpdateEndpoint"], [endpoint, configurations]
            ),
            allow("WatchEndpoint", ["sagemaker:DescribeEndpoint", "sagemaker:DeleteEndpoint", *tags], [endpoint]),
            allow("TestEndpoint", ["sagemaker:InvokeEndpoint"], [endpoint]),
        ]

    def _files(self, artifact_bucket: str) -> list[iam.PolicyStatement]:
        bucket = f"arn:{cdk.Stack.of(self).partition}:s3:::{artifact_bucket}"
        samples = f"{bucket}/models/*/serving/sample.json"
        self._explain("The sample lies under the id of its execution, which the service makes up.", samples)
        live = f"{bucket}/{live_key(self._settings.endpoint_name)}"
        other = f"{bucket}/{live_key(other_endpoint(self._settings))}"
        return [
            allow("ReadSamples", ["s3:GetObject"], [samples]),
            # Without it a missing sample is an access error, which says nothing.
            allow("SeeThatASampleIsMissing", ["s3:ListBucket"], [bucket], listing("models", without_prefix=True)),
            allow("RecordWhatIsLive", ["s3:GetObject", "s3:PutObject"], [live]),
            allow("SeeWhatTheOtherKindServed", ["s3:GetObject"], [other]),
        ]

    def _alarms(self, alarm_arns: list[str]) -> list[iam.PolicyStatement]:
        namespace = {"StringEquals": {"cloudwatch:namespace": METRIC_NAMESPACE}}
        return [
            # The service also watches the alarms with the permissions of who called UpdateEndpoint.
            allow("WatchAlarms", ["cloudwatch:DescribeAlarms"], alarm_arns),
            allow("ReportSmokeTests", ["cloudwatch:PutMetricData"], ["*"], namespace),
        ]

    def _scaling(self) -> list[iam.PolicyStatement]:
        if self._settings.serving.kind == "serverless":
            return []
        stack = cdk.Stack.of(self)
        targets = stack.format_arn(service="application-autoscaling", resource="scalable-target", resource_name="*")
        self._explain("Application Auto Scaling makes up the ids of its targets.", targets)
        linked = (
            f"arn:{stack.partition}:iam::{stack.account}:role/aws-service-role/"
            "sagemaker.application-autoscaling.amazonaws.com/"
            "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
        )
        service = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
        linked_service = {
            "StringEquals": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"},
        }
        endpoint = self._sagemaker("endpoint", self._settings.endpoint_name)
        return [
            allow("Scale", [f"application-autoscaling:{name}" for name in _SCALING], [targets], service),
            # What registering a target does in the caller's name: "SageMaker identity-based policy examples".
            allow("ScaleEndpoint", ["sagemaker:UpdateEndpointWeightsAndCapacities"], [endpoint]),
            # Without autoscaling the machine removes what earlier settings left.
            allow_scaling_alarms(self.role, self._settings.endpoint_name, putting=self._settings.serving.autoscaled),
            allow("FirstScalingOfTheAccount", ["iam:CreateServiceLinkedRole"], [linked], linked_service),
        ]

    def _encryption(self) -> list[iam.PolicyStatement]:
        key = self._settings.serving.kms_key_arn
        if key is None:
            return []
        via = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
        return [
            allow("LetServiceUseKey", ["kms:CreateGrant"], [key], via),
            allow("SeeKey", ["kms:DescribeKey"], [key]),
        ]

    def _explain(self, reason: str, *resources: str) -> None:
        for resource in resources:
            acknowledge_wildcard(self.role, resource, reason=reason)
