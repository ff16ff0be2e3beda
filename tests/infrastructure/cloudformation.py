"""Reads templates as CloudFormation does: resources by type, and intrinsic functions with sample values."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

from parliament import analyze_policy_string

PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Region": "us-east-1",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/sample/0a1b2c3d",
}


def resources(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Logical id -> resource, of one type."""
    return {name: body for name, body in template["Resources"].items() if body["Type"] == kind}


def pipelines(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """train, tune, retrain -> the pipeline's properties."""
    found = resources(template, "AWS::SageMaker::Pipeline").values()
    return {body["Properties"]["PipelineName"].rsplit("-", 1)[1]: body["Properties"] for body in found}


def definitions(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """train, tune, retrain -> the pipeline's definition, with sample values, parsed."""
    return {
        name: json.loads(resolve(properties["PipelineDefinition"]["PipelineDefinitionBody"], template))
        for name, properties in pipelines(template).items()
    }


def statements(template: dict[str, Any], start: str) -> dict[str, dict[str, Any]]:
    """Sid -> statement of the one policy whose logical id starts with `start`, with sample values."""
    (policy,) = [body for name, body in resources(template, "AWS::IAM::Policy").items() if name.startswith(start)]
    document = resolve(policy["Properties"]["PolicyDocument"], template)
    return {statement.get("Sid", ""): statement for statement in document["Statement"]}


def listed(value: str | list[str]) -> list[str]:
    """A policy's action or resource as a list, as one of them is written without."""
    return [value] if isinstance(value, str) else value


def output_uris(definition: dict[str, Any]) -> list[str]:
    """Every S3 URI, wherever it stands in the definition, that is a Join over an execution's id; with a sample id."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            join = value.get("Std:Join")
            if join and join["On"] == "/" and str(join["Values"][0]).startswith("s3://"):
                found.append("/".join("abcdef123456" if isinstance(part, dict) else part for part in join["Values"]))
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk([{**step.get("Arguments", {}), "Name": step["Name"]} for step in definition["Steps"]])
    return found


def outputs_out_of_reach(template: dict[str, Any]) -> list[str]:
    """The URIs of `output_uris`, of all pipelines, that the execution role may not write, read and list."""
    execution = statements(template, "ExecutionRole")
    objects = execution["ReadAndWriteArtifacts"]["Resource"]
    prefixes = execution["ListArtifacts"]["Condition"]["StringLikeIfExists"]["s3:prefix"]

    def reached(uri: str) -> bool:
        arn, prefix = uri.replace("s3://", "arn:aws:s3:::") + "/job/file", uri.split("/", 3)[3]
        return any(fnmatch.fnmatchcase(arn, pattern) for pattern in objects) and any(
            fnmatch.fnmatchcase(prefix, pattern) for pattern in prefixes
        )

    uris = [uri for definition in definitions(template).values() for uri in output_uris(definition)]
    return [uri for uri in uris if not reached(uri)]


def image_repositories(template: dict[str, Any]) -> set[str]:
    """ARNs of the repositories of all images in the definitions."""
    text = json.dumps(definitions(template))
    images = set(re.findall(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([a-z0-9._/-]+)", text))
    return {f"arn:aws:ecr:{region}:{account}:repository/{name}" for account, region, name in images}


def iam_findings(policy: dict[str, Any]) -> list[str]:
    """What IAM would not match: unknown actions, and resources or conditions that an action does not know."""
    # Privilege escalation needs PassRole to another role; a test of its own shows that there is none.
    findings = analyze_policy_string(json.dumps(policy)).findings
    return [str(finding) for finding in findings if finding.issue != "PRIVILEGE_ESCALATION"]


def resolve(value: Any, template: dict[str, Any]) -> Any:
    """`value` with its intrinsic functions replaced by sample values; an unknown function is an error."""
    if isinstance(value, list):
        return [resolve(item, template) for item in value]
    if not isinstance(value, dict):
        return value
    name = next(iter(value), "")
    if len(value) == 1 and (name == "Ref" or name.startswith("Fn::")):
        return _call(name, value[name], template)
    return {key: resolve(item, template) for key, item in value.items()}


def _call(name: str, argument: Any, template: dict[str, Any]) -> str:
    if name == "Ref":
        return PSEUDO.get(argument) or _physical_name(argument, template)
    if name == "Fn::GetAtt":
        return _attribute(*argument, template=template)
    if name == "Fn::Join":
        return str(argument[0].join(resolve(argument[1], template)))
    assert name == "Fn::Sub", name
    return _substitute(argument, template)


def _substitute(argument: str | list[Any], template: dict[str, Any]) -> str:
    text, values = (argument, {}) if isinstance(argument, str) else argument
    assert "${!" not in text
    known = {**PSEUDO, **{key: resolve(item, template) for key, item in values.items()}}
    return re.sub(r"\$\{([^}]+)\}", lambda match: known[match.group(1)], text)


# Where a resource's name stands among its properties.
_NAMES = (
    "BucketName",
    "PipelineName",
    "FunctionName",
    "TopicName",
    "StateMachineName",
    "AlarmName",
    "QueueName",
    "TableName",
)
# Forms of ARNs.
_ARNS = {
    "AWS::CloudWatch::Alarm": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:{}",
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:us-east-1:123456789012:table/{}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:123456789012:function:{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/{}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SNS::Topic": "arn:aws:sns:us-east-1:123456789012:{}",
    "AWS::SQS::Queue": "arn:aws:sqs:us-east-1:123456789012:{}",
    "AWS::StepFunctions::StateMachine": "arn:aws:states:us-east-1:123456789012:stateMachine:{}",
}
# A Ref to these is their ARN.
_REFERRED_BY_ARN = ("AWS::SNS::Topic", "AWS::StepFunctions::StateMachine")


def _physical_name(logical_id: str, template: dict[str, Any]) -> str:
    resource = template["Resources"][logical_id]
    named = [resource["Properties"][key] for key in _NAMES if key in resource["Properties"]]
    name = str(resolve(named[0], template)) if named else logical_id
    return _ARNS[resource["Type"]].format(name) if resource["Type"] in _REFERRED_BY_ARN else name


def _attribute(logical_id: str, attribute: str, *, template: dict[str, Any]) -> str:
    kind, name = template["Resources"][logical_id]["Type"], _physical_name(logical_id, template)
    if attribute in ("TopicName", "Name"):
        return name.rsplit(":", 1)[-1]
    assert attribute == "Arn", attribute
    return name if kind in _REFERRED_BY_ARN else _ARNS[kind].format(name)
