"""What went wrong in a deployed environment: executions, the endpoint and its log, the queues."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Final

import boto3
from botocore.exceptions import ClientError

from imgpipe.errors_found import Found, Problem, one_line, refused_requests, utc
from imgpipe.unsure_results import unsure_results
from local.pipeline import PIPELINE_OUTPUTS
from local.program import hint

_STATE_MACHINES: Final = ("deploy", "classify", "classify-prefix", "monitor")
_ENDPOINT_SUFFIXES: Final = ("", "-serverless")
# What started longer ago has ended by the service's own limits, or is a matter of another day.
_LONGEST: Final = timedelta(days=14)
_LOG_PATTERN: Final = '{ ($.status >= 400) || ($.level = "error") }'
_PEEKED: Final = 10  # the most that one call receives
_MOST_SHOWN: Final = 300  # characters of a message
_DENIED: Final = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
_ABSENT: Final = (
    *("ResourceNotFound", "ResourceNotFoundException", "StateMachineDoesNotExist"),
    *("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"),
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A deployed environment by its names, whichever of its stacks there are; `client` makes boto3 clients."""

    name: str
    prefix: str
    region: str

    def client(self, service: str) -> Any:
        """A client in the environment's region."""
        return boto3.client(service, region_name=self.region)  # type: ignore[call-overload]


def find_deployed(environment: Environment, since: datetime) -> Found:
    """Looks everywhere; what is not deployed or may not be read becomes a note."""
    found = Found()
    for pipeline in PIPELINE_OUTPUTS:
        _look(found, f"pipeline {pipeline}", partial(_executions, environment, pipeline, since))
    _look(found, "state machines", partial(_state_machines, environment, found, since))
    names = [environment.prefix + suffix for suffix in _ENDPOINT_SUFFIXES]
    there = [name for name in names if _look(found, "", partial(_endpoint, environment, name, since))]
    for name in there:
        _look(found, f"log of endpoint {name}", partial(_log, environment, name, since))
    if not there and not any("endpoint" in note for note in found.notes):
        found.notes.append("no endpoint is deployed")
    _look(found, "results of the classification", partial(_unsure, environment, found, since))
    _look(found, "queues", partial(_queues, environment, found, since))
    return found


def _look(found: Found, what: str, search: Callable[[], Iterator[Problem]]) -> bool:
    """Adds what a search finds; false where the thing is not there, with a note where it has a name."""
    try:
        found.problems += search()
    except ClientError as error:
        code, message = error.response["Error"]["Code"], one_line(error.response["Error"].get("Message", ""))
        if code in _DENIED:
            found.notes.append(f"{what or 'endpoint'}: may not be read ({message})")
            return False
        if code not in _ABSENT and "does not exist" not in message and "Could not find" not in message:
            raise
        if what:
            found.notes.append(f"{what}: not deployed")
        return False
    return True


def _executions(environment: Environment, pipeline: str, since: datetime) -> Iterator[Problem]:
    sagemaker, name = environment.client("sagemaker"), f"{environment.prefix}-{pipeline}"
    pages = sagemaker.get_paginator("list_pipeline_executions").paginate(
        PipelineName=name, SortBy="CreationTime", SortOrder="Descending"
    )
    for item in (item for page in pages for item in page["PipelineExecutionSummaries"]):
        if utc(item["StartTime"]) < since - _LONGEST:
            return
        if item["PipelineExecutionStatus"] != "Failed":
            continue
        arn = item["PipelineExecutionArn"]
        description = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        time = utc(description.get("LastModifiedTime") or item["StartTime"])
        if time >= since:
            execution = arn.rsplit("/", 1)[-1]
            yield Problem(
                time=time,
                source=f"pipeline {pipeline}",
                reason=_failed_step(sagemaker, arn) or one_line(description.get("FailureReason", "no reason given")),
                more=hint(f"status {execution} --pipeline {pipeline} --env {environment.name}"),
            )


def _failed_step(sagemaker: Any, arn: str) -> str | None:
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
    for step in (step for page in pages for step in page["PipelineExecutionSteps"]):
        if step["StepStatus"] == "Failed":
            return f"step {step['StepName']}: {one_line(step.get('FailureReason', 'no reason given'))}"
    return None


def _state_machines(environment: Environment, found: Found, since: datetime) -> Iterator[Problem]:
    states = environment.client("stepfunctions")
    pages = states.get_paginator("list_state_machines").paginate()
    arns = {item["name"]: item["stateMachineArn"] for page in pages for item in page["stateMachines"]}
    for purpose in _STATE_MACHINES:
        name = f"{environment.prefix}-{purpose}"
        if name not in arns:
            found.notes.append(f"state machine {purpose}: not deployed")
            continue
        for status in ("FAILED", "TIMED_OUT", "ABORTED"):
            pages = states.get_paginator("list_executions").paginate(stateMachineArn=arns[name], statusFilter=status)
            for item in (item for page in pages for item in page["executions"]):
                if utc(item["startDate"]) < since - _LONGEST:
                    break
                if utc(item.get("stopDate") or item["startDate"]) >= since:
                    yield _failed_machine(environment, states, purpose, item)


def _failed_machine(environment: Environment, states: Any, purpose: str, item: dict[str, Any]) -> Problem:
    arn = item["executionArn"]
    description = states.describe_execution(executionArn=arn)
    parts = [description.get("error"), description.get("cause")]
    return Problem(
        time=utc(item.get("stopDate") or item["startDate"]),
        source=f"state machine {purpose}",
        reason=": ".join(one_line(part) for part in parts if part) or item["status"],
        more=f"aws stepfunctions get-execution-history --region {environment.region} --execution-arn {arn}",
    )


def _endpoint(environment: Environment, name: str, since: datetime) -> Iterator[Problem]:
    description = environment.client("sagemaker").describe_endpoint(EndpointName=name)
    time = utc(description["LastModifiedTime"])
    status = description["EndpointStatus"]
    # A roll-back leaves the reason behind though the endpoint serves again.
    if (status == "Failed" or description.get("FailureReason")) and time >= since:
        yield Problem(
            time=time,
            source=f"endpoint {name}",
            reason=f"{status}: {one_line(description.get('FailureReason', 'no reason given'))}",
            more=f"aws sagemaker describe-endpoint --region {environment.region} --endpoint-name {name}",
        )


def _log(environment: Environment, name: str, since: datetime) -> Iterator[Problem]:
    group = f"/aws/sagemaker/Endpoints/{name}"
    pages = (
        environment.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=group, startTime=int(since.timestamp() * 1000), filterPattern=_LOG_PATTERN)
    )
    events = (event for page in pages for event in page["events"])
    lines = ((_from_milliseconds(event["timestamp"]), event["message"]) for event in events)
    command = f"aws logs tail {group} --region {environment.region} --since {_age(since)}"
    return refused_requests(lines, source=f"endpoint {name}", more=command)


def _unsure(environment: Environment, found: Found, since: datetime) -> Iterator[Problem]:
    table = f"{environment.prefix}-results"
    return unsure_results(environment.client("dynamodb"), table, since, found, region=environment.region)


def _queues(environment: Environment, found: Found, since: datetime) -> Iterator[Problem]:
    """Of every queue of the environment, what waits in it.

    Receiving counts as a try where the queue passes on what was tried too often: of such a queue only the number is
    looked at. Of the others messages are looked at without being hidden from anybody.
    """
    sqs = environment.client("sqs")
    urls = sqs.list_queues(QueueNamePrefix=f"{environment.prefix}-").get("QueueUrls", [])
    if not urls:
        found.notes.append("queues: not deployed")
    for url in urls:
        name = url.rsplit("/", 1)[-1]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        waiting = int(attributes["ApproximateNumberOfMessages"])
        more = f"aws sqs receive-message --region {environment.region} --queue-url {url}"
        found.waiting |= waiting > 0
        if "RedrivePolicy" in attributes:
            if waiting:
                found.notes.append(f"queue {name}: {waiting} waiting: {more}")
            continue
        for message in _peek(sqs, url) if waiting else []:
            time = _from_milliseconds(int(message["Attributes"]["SentTimestamp"]))
            if time >= since:
                yield Problem(time=time, source=f"queue {name}", reason=_shortened(message["Body"]), more=more)
        if waiting > _PEEKED:
            found.notes.append(f"queue {name}: {waiting} waiting, {_PEEKED} of them were looked at: {more}")


def _peek(sqs: Any, url: str) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=url,
        VisibilityTimeout=0,
        MaxNumberOfMessages=_PEEKED,
        AttributeNames=["SentTimestamp"],
        MessageSystemAttributeNames=["SentTimestamp"],
    )
    messages = {message["MessageId"]: message for message in answer.get("Messages", [])}
    return list(messages.values())


def _shortened(body: str) -> str:
    """A message's own reason where it has one, else its beginning."""
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if isinstance(content, dict):
        named = [
            str(content[key]) for key in ("s3_key", "image", "error", "reason", "cause", "status") if content.get(key)
        ]
        body = ": ".join(one_line(part) for part in named) or body
    line = one_line(body)
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}..."


def _from_milliseconds(value: int) -> datetime:
    return datetime.fromtimestamp(value / 1000, tz=timezone.utc)


def _age(since: datetime) -> str:
    return f"{max(1, round((datetime.now(timezone.utc) - since).total_seconds() / 60))}m"
