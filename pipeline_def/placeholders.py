"""The ${Name} placeholders of a definition: what only CloudFormation knows, and the check of what replaces it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Quota "Maximum size of a pipeline definition" as AWS::SageMaker::Pipeline's PipelineDefinitionBody states it.
MAX_DEFINITION_CHARACTERS: Final = 1_048_576

DATA_BUCKET: Final = "DataBucket"
ARTIFACT_BUCKET: Final = "ArtifactBucket"
EXECUTION_ROLE_ARN: Final = "ExecutionRoleArn"
RESOLVE_FUNCTION_ARN: Final = "ResolveFunctionArn"
CHECK_BASE_FUNCTION_ARN: Final = "CheckBaseFunctionArn"
LIST_TRIALS_FUNCTION_ARN: Final = "ListTrialsFunctionArn"
PLAN_TRANSFORM_FUNCTION_ARN: Final = "PlanTransformFunctionArn"
IMAGING_IMAGE_URI: Final = "ImagingImageUri"
MXNET_IMAGE_URI: Final = "MxnetImageUri"
MXNET_GPU_IMAGE_URI: Final = "MxnetGpuImageUri"
SERVE_IMAGE_URI: Final = "ServeImageUri"
MODEL_PACKAGE_GROUP_NAME: Final = "ModelPackageGroupName"

NAMES: Final = frozenset(
    {
        DATA_BUCKET,
        ARTIFACT_BUCKET,
        EXECUTION_ROLE_ARN,
        RESOLVE_FUNCTION_ARN,
        CHECK_BASE_FUNCTION_ARN,
        LIST_TRIALS_FUNCTION_ARN,
        PLAN_TRANSFORM_FUNCTION_ARN,
        IMAGING_IMAGE_URI,
        MXNET_IMAGE_URI,
        MXNET_GPU_IMAGE_URI,
        SERVE_IMAGE_URI,
        MODEL_PACKAGE_GROUP_NAME,
    }
)

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


def placeholder(name: str) -> str:
    """The text `${name}` that stands for a value in the definition; `name` is one of NAMES."""
    if name not in NAMES:
        raise ValueError(f"placeholder {name} is unknown: use one of {', '.join(sorted(NAMES))}")
    return "${" + name + "}"


def find(definition: str) -> frozenset[str]:
    """The names of all placeholders in a definition."""
    return frozenset(_PLACEHOLDER.findall(definition))


def check_substitution(definition: str, values: Mapping[str, str]) -> None:
    """Refuses a substitution that CloudFormation or SageMaker would refuse, or would silently leave half done.

    `values` maps each placeholder to its text or to a CDK token. Raises ValueError where the placeholders and the
    values differ, or where the definition is longer than the service takes.
    """
    found = find(definition)
    if found != values.keys():
        missing, unused = sorted(found - values.keys()), sorted(values.keys() - found)
        raise ValueError(f"pipeline definition: placeholders without value {missing}, values without use {unused}")
    if len(definition) > MAX_DEFINITION_CHARACTERS:
        raise ValueError(
            f"pipeline definition has {len(definition)} characters, the service takes {MAX_DEFINITION_CHARACTERS}: "
            "split the pipeline"
        )


def substitute(definition: str, values: Mapping[str, str]) -> str:
    """The definition with every placeholder replaced, as Fn::Sub does it; values are escaped for JSON strings.

    Raises ValueError as `check_substitution` does, and where the result is longer than the service takes.
    """
    check_substitution(definition, values)
    text = _PLACEHOLDER.sub(lambda match: json_escape(values[match.group(1)]), definition)
    check_substitution(text, {})
    return text


def json_escape(value: str) -> str:
    """A literal value as it must stand inside a JSON string; a CDK token holds no such character."""
    return "".join(_ESCAPES.get(character, character) for character in value)


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\"} | {chr(code): f"\\u{code:04x}" for code in range(0x20)}
