"""What every part of the deployment machine knows: settings, names, and how a call of a service is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.settings import EnvironmentSettings
from infra.workflows import states
from infra.workflows.states import State

# Where the smoke test's result is published; CloudWatch's dimension is the endpoint's name.
METRIC_NAMESPACE: Final = "imgpipe/Serving"
SMOKE_METRIC: Final = "SmokeTestFailures"
ENDPOINT_DIMENSION: Final = "EndpointName"
VARIANT: Final = "AllTraffic"
# Marks the smoke test's requests among captured ones.
SMOKE_INFERENCE_ID: Final = "imgpipe-smoke-test"
# Tag of the endpoint: the moment of the decision that last changed it.
CHANGED_TAG: Final = "imgpipe:deployed-by-execution-of"

ABSENT: Final = ("*Could not find*", "*does not exist*")
BUSY: Final = ("*in-progress*", "*in progress*", "*already existing*", "*Updating*")
THROTTLED: Final = ("*Rate exceeded*", "*hrottl*")
DENIED: Final = ("*not authorized*", "*AccessDenied*")

FAILING: Final = "Failing"
# Error of an execution that failed and told why; any other failure is told of by a rule.
FAILURE: Final = "DeploymentFailed"
# Of DescribeEndpoint: somebody works on the endpoint.
BUSY_STATUSES: Final = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


def endpoint_names(settings: EnvironmentSettings) -> tuple[str, str]:
    """The endpoint's name with either serving.kind: a change of the kind changes the name."""
    return settings.prefix, f"{settings.prefix}-serverless"


def other_endpoint(settings: EnvironmentSettings) -> str:
    """The endpoint's name with the other serving.kind."""
    [name] = set(endpoint_names(settings)) - {settings.endpoint_name}
    return name


def live_key(endpoint: str) -> str:
    """Key, in the artifact bucket, of the record of what an endpoint serves."""
    return f"serving/{endpoint}/live.json"


@dataclass(frozen=True, kw_only=True)
class DeployNames:
    """Names and ARNs that the machine is given; CDK tokens are fine.

    The alarms are those that roll a deployment back: share of 5xx, latency, failed smoke tests.
    """

    partition: str
    model_package_group: str
    endpoint_role_arn: str
    artifact_bucket: str
    topic_arn: str
    error_alarm: str
    latency_alarm: str
    smoke_alarm: str

    @property
    def alarms(self) -> tuple[str, str, str]:
        """All that roll a deployment back."""
        return self.error_alarm, self.latency_alarm, self.smoke_alarm


@dataclass(frozen=True)
class Context:
    """Settings and names, and the forms that the states share."""

    settings: EnvironmentSettings
    names: DeployNames

    @property
    def endpoint(self) -> str:
        """The endpoint's name."""
        return self.settings.endpoint_name

    @property
    def tags(self) -> list[dict[str, str]]:
        """Tags of what the machine creates, as the stacks have them."""
        own = {"project": self.settings.project, "environment": self.settings.environment}
        return [{"Key": key, "Value": value} for key, value in (own | self.settings.tags).items()]

    def call(
        self,
        action: str,
        parameters: Mapping[str, Any],
        *,
        then: str,
        at: str | None = None,
        select: Mapping[str, Any] | None = None,
        on_error: str = FAILING,
        repeatable: bool = False,
    ) -> State:
        """A call "<service>:<action>", whose answer goes to `at`; any error goes to `on_error`.

        `repeatable` calls are tried again after any error: those that change nothing a second time, and of which no
        error is expected. An endpoint that may be absent is rather looked at again by the loop around the call.
        """
        return states.task(
            states.sdk(action, partition=self.names.partition),
            parameters,
            next_state=then,
            result_path=at,
            result_selector=select,
            catch={"States.ALL": on_error},
            retry=states.REPEATABLE if repeatable else None,
        )

    def publish(self, *, subject: str, message: str, then: str) -> State:
        """A notification; that it could not be sent must not hide what it was to say."""
        return self.call(
            "sns:publish",
            {"TopicArn": self.names.topic_arn, "Subject": subject[:100], "Message.$": f"States.Format({message})"},
            then=then,
            on_error=then,
            repeatable=True,
        )

    def describe_version(self, arn: str, *, at: str, then: str, on_error: str = FAILING) -> State:
        """Approval of the version whose ARN is at the path `arn`, at `<at>.status`."""
        return self.call(
            "sagemaker:describeModelPackage",
            {"ModelPackageName.$": arn},
            at=at,
            select={"status.$": "$.ModelApprovalStatus"},
            then=then,
            on_error=on_error,
            repeatable=True,
        )

    def read_live(self, *, at: str, then: str, on_error: str, key: str | None = None) -> State:
        """What was recorded as live, at `<at>.file`; there may be no record yet. `key` None is the endpoint's own."""
        return self.call(
            "s3:getObject",
            {"Bucket": self.names.artifact_bucket, "Key": key or self.live_key},
            at=at,
            select={"file.$": "States.StringToJson($.Body)"},
            then=then,
            on_error=on_error,
        )

    @property
    def live_key(self) -> str:
        """Key of the record of what is live."""
        return live_key(self.endpoint)

    @property
    def other_live_key(self) -> str:
        """Key of the record of the endpoint that the environment had, or will have, with another serving.kind."""
        return live_key(other_endpoint(self.settings))

    def describe_endpoint(self, *, then: str, on_error: str) -> State:
        """The endpoint as it is, at $.endpoint."""
        return self.call(
            "sagemaker:describeEndpoint", {"EndpointName": self.endpoint}, then=then, at="$.endpoint", on_error=on_error
        )


def status_is(*statuses: str) -> State:
    """Comparison: the endpoint has one of these statuses."""
    rules = [{"Variable": "$.endpoint.EndpointStatus", "StringEquals": status} for status in statuses]
    return {"Or": rules} if len(rules) > 1 else rules[0]


def event_is(*decisions: str) -> State:
    """Comparison: the machine was started by one of these decisions."""
    rules = [{"Variable": "$.event.ModelApprovalStatus", "StringEquals": decision} for decision in decisions]
    return {"Or": rules} if len(rules) > 1 else rules[0]


def serves_new_configuration() -> State:
    """Comparison: the endpoint has the configuration that is being deployed."""
    return {"Variable": "$.endpoint.EndpointConfigName", "StringEqualsPath": "$.name"}
