"""Reads templates as CloudFormation does: resources by type, and intrinsic functions with sample values."""

from __future__ import annotations

import re
from typing import Any

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


def _physical_name(logical_id: str, template: dict[str, Any]) -> str:
    properties = template["Resources"][logical_id]["Properties"]
    named = [properties[key] for key in ("BucketName", "PipelineName", "FunctionName") if key in properties]
    return str(resolve(named[0], template)) if named else logical_id


def _attribute(logical_id: str, attribute: str, *, template: dict[str, Any]) -> str:
    assert attribute == "Arn", attribute
    forms = {
        "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
        "AWS::Lambda::Function": "arn:aws:lambda:us-east-1:123456789012:function:{}",
        "AWS::Logs::LogGroup": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/{}:*",
        "AWS::S3::Bucket": "arn:aws:s3:::{}",
    }
    return forms[template["Resources"][logical_id]["Type"]].format(_physical_name(logical_id, template))
