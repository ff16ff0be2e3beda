"""The state machines that classify an image, and the images below a prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.classification_store import ClassificationStore
from infra.constructs.state_machine import DefinedMachine
from infra.constructs.statements import allow, listing
from infra.constructs.unexpected_end import unexpected_end
from infra.nag import acknowledge_wildcard
from infra.settings import EnvironmentSettings
from infra.workflows.classify import RESULTS_PREFIX, classify_machine, prefix_machine
from infra.workflows.image_states import FAILED, Targets


class ClassificationMachines(Construct):
    """`<prefix>-classify` and `<prefix>-classify-prefix`."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        settings: EnvironmentSettings,
        functions: Mapping[str, lambda_.IFunction],
        store: ClassificationStore,
        data_bucket: str,
        image_prefixes: Sequence[str],
        artifact_bucket: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self._settings, self._functions, self._store = settings, functions, store
        s3 = f"arn:{cdk.Stack.of(self).partition}:s3:::"
        self._data, self._artifacts = f"{s3}{data_bucket}", f"{s3}{artifact_bucket}"
        called = Targets(
            partition=cdk.Stack.of(self).partition,
            function_arns={name: function.function_arn for name, function in functions.items()},
            table_name=store.table.table_name,
            review_queue_url=store.review.queue_url,
            failure_queue_url=store.failures.queue_url,
        )
        self.image = self._build("Image", "classify", classify_machine(called))
        wanted = settings.classification
        definition = prefix_machine(
            called,
            result_bucket=artifact_bucket,
            max_concurrency=wanted.max_concurrency,
            tolerated_failure_percent=wanted.tolerated_failure_percent,
        )
        self.prefix = self._build("Prefix", "classify-prefix", definition)
        for statement in self._map_statements(image_prefixes):
            self.prefix.role.add_to_policy(statement)
        self._build_failure_rule()

    def _build(self, construct_id: str, purpose: str, definition: Mapping[str, object]) -> DefinedMachine:
        built = DefinedMachine(self, construct_id, settings=self._settings, purpose=purpose, definition=definition)
        store = self._store
        for statement in (
            allow(
                "InvokeFunctions", ["lambda:InvokeFunction"], [each.function_arn for each in self._functions.values()]
            ),
            allow(
                "KeepResults",
                ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"],
                [store.table.table_arn],
            ),
            allow("SendMessages", ["sqs:SendMessage"], [store.review.queue_arn, store.failures.queue_arn]),
        ):
            built.role.add_to_policy(statement)
        return built

    def _build_failure_rule(self) -> None:
        """The machines leave a message for each failure, but not for what no state catches: that comes by a rule."""
        rule = unexpected_end(
            self,
            "Unexpected",
            settings=self._settings,
            purpose="classify",
            machines=[self.image.machine, self.prefix.machine],
            told=FAILED,
        )
        # The detail names error and cause as the machines' own messages do.
        told = events.RuleTargetInput.from_event_path("$.detail")
        rule.add_target(targets.SqsQueue(self._store.failures, message=told))

    def _map_statements(self, image_prefixes: Sequence[str]) -> list[iam.PolicyStatement]:
        """Source: "IAM policies for using Distributed Map states" in the Step Functions guide."""
        stack, name = cdk.Stack.of(self), self._settings.state_machine_name("classify-prefix")

        def arn(resource: str, rest: str) -> str:
            return stack.format_arn(
                service="states",
                resource=resource,
                resource_name=f"{name}{rest}",
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            )

        runs = arn("mapRun", "/*")
        executions = arn("execution", ":*")
        results = f"{self._artifacts}/{RESULTS_PREFIX}/*"
        for resource in (runs, executions):
            acknowledge_wildcard(
                self.prefix.role, resource, reason="The service names the runs of the machine's own map, and theirs."
            )
        acknowledge_wildcard(self.prefix.role, results, reason="The results lie under the id of their map run.")
        write = ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"]
        return [
            allow("ListImages", ["s3:ListBucket"], [self._data], listing(*image_prefixes)),
            allow("StartItems", ["states:StartExecution"], [self.prefix.arn]),
            allow("FollowItems", ["states:DescribeExecution", "states:StopExecution"], [executions]),
            allow("CountItems", ["states:DescribeMapRun"], [runs]),
            allow("WriteResults", write, [results]),
        ]
