"""Get, Join and JsonGet: what they resolve to, and one clear line for what they cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from local.errors import LocalRunError
from local.executor.expressions import Scope, StepOutcome, as_text, referenced_steps

FILES = {
    "s3://b/facts.json": json.dumps(
        {"classes": 3, "metrics": {"accuracy": {"value": 0.75}}, "names": ["a", "b"], "nothing": None, "on": True}
    ),
    "s3://b/broken.json": "{",
}


def read_object(uri: str) -> str:
    if uri not in FILES:
        raise LocalRunError(f"{uri} does not exist")
    return FILES[uri]


SCOPE = Scope(
    parameters={"Epochs": 5, "Name": "dog", "Rate": 0.1, "Flag": True},
    execution={"PipelineExecutionId": "abc"},
    steps={
        "Pack": StepOutcome(
            properties={
                "ProcessingOutputConfig": {"Outputs": [{"OutputName": "train", "S3Output": {"S3Uri": "s3://b/t"}}]},
                "ProcessingInputs": [{"InputName": "data", "S3Input": {"S3Uri": "s3://b/i"}}],
            },
            property_files={"Facts": "s3://b/facts.json", "Broken": "s3://b/broken.json", "Gone": "s3://b/gone.json"},
        ),
        "Ask": StepOutcome(outputs={"listing_hash": "ff", "count": 3}),
        "Train": StepOutcome(properties={"InputDataConfig": [{"ChannelName": "train", "ContentType": "rec"}]}),
    },
    read_object=read_object,
)


def json_get(path: str, file: str = "Facts", step: str = "Pack") -> dict[str, Any]:
    return {"Std:JsonGet": {"PropertyFile": {"Get": f"Steps.{step}.PropertyFiles.{file}"}, "Path": path}}


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ({"Get": "Parameters.Epochs"}, 5),
        ({"Get": "Execution.PipelineExecutionId"}, "abc"),
        ({"Get": "Steps.Pack.ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri"}, "s3://b/t"),
        ({"Get": "Steps.Pack.ProcessingOutputConfig.Outputs[0].S3Output.S3Uri"}, "s3://b/t"),
        ({"Get": "Steps.Pack.ProcessingInputs['data'].S3Input.S3Uri"}, "s3://b/i"),
        ({"Get": "Steps.Train.InputDataConfig['train'].ContentType"}, "rec"),
        ({"Get": "Steps.Ask.OutputParameters['listing_hash']"}, "ff"),
        ({"Std:Join": {"On": "/", "Values": ["a", {"Get": "Parameters.Name"}, 3]}}, "a/dog/3"),
        ({"Std:Join": {"On": "", "Values": [True, {"Get": "Parameters.Rate"}]}}, "true0.1"),
        ({"Std:Join": {"On": "-", "Values": [{"Std:Join": {"On": "+", "Values": [1, 2]}}, "x"]}}, "1+2-x"),
        (json_get("classes"), 3),
        (json_get("metrics.accuracy.value"), 0.75),
        (json_get("names[1]"), "b"),
        (json_get("on"), True),
        ({"Std:JsonGet": {"S3Uri": {"Std:Join": {"On": "", "Values": ["s3://b/", "facts.json"]}}, "Path": "on"}}, True),
        ({"deep": [{"x": {"Get": "Parameters.Flag"}}, 1]}, {"deep": [{"x": True}, 1]}),
        ("plain", "plain"),
        (None, None),
    ],
)
def test_resolves(expression: Any, value: Any) -> None:
    assert SCOPE.resolve(expression) == value
    assert type(SCOPE.resolve(expression)) is type(value)


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ({"Get": "Parameters.Epoch"}, "Parameters.Epoch "),
        ({"Get": "Execution.Nothing"}, "Execution.Nothing"),
        ({"Get": "Steps.Later.ModelArtifacts"}, "Steps.Later.ModelArtifacts"),
        ({"Get": "Steps.Ask.OutputParameters['other']"}, "'other'"),
        ({"Get": "Steps.Pack.ProcessingOutputConfig.Outputs['test'].S3Output.S3Uri"}, "'test'"),
        ({"Get": "Steps.Pack.ProcessingOutputConfig.Outputs[7].S3Output.S3Uri"}, "[7]"),
        ({"Get": "Steps.Pack.ProcessingOutputConfig.Nothing"}, ".Nothing"),
        ({"Get": "Steps.Pack.Processing OutputConfig"}, "not a property path|not found"),
        ({"Std:Join": {"On": "", "Values": [None]}}, "None"),
        ({"Std:Join": {"On": "", "Values": [["a"]]}}, r"\['a'\]"),
        (json_get("nothing"), "single value at nothing"),
        (json_get("absent"), "single value at absent"),
        (json_get("metrics"), "single value at metrics"),
        (json_get("names[*]"), "single value"),
        (json_get("a[["), "no JSON path"),
        (json_get("x", "Broken"), "broken.json is not JSON"),
        (json_get("x", "Gone"), "gone.json does not exist"),
        (json_get("x", "Other"), "not a property file"),
        (json_get("x", step="Later"), "not a property file"),
    ],
)
def test_every_error_is_one_clear_line(expression: Any, named: str) -> None:
    with pytest.raises(LocalRunError, match=named.replace("[7]", r"\[7\]")) as raised:
        SCOPE.resolve(expression)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (1, "1"), (0.5, "0.5"), (1e-05, "1e-05"), (False, "false")])
def test_numbers_and_booleans_become_text_as_json_writes_them(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_steps_that_are_referred_to_anywhere() -> None:
    value = {"a": [json_get("x", step="One"), {"Std:Join": {"On": "", "Values": [{"Get": "Steps.Two.Arn"}]}}]}
    assert referenced_steps(value) == {"One", "Two"}
