"""Definitions: parameters with types and overrides, steps with dependencies, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from small_pipeline import condition, definition_text, fail, get, output_uri, processing, training

from local.errors import LocalRunError
from local.executor.definition import Definition
from local.executor.execution import SUPPORTED

PARAMETERS = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 5},
    {"Name": "Rate", "Type": "Float", "DefaultValue": 0.1},
    {"Name": "Optimizer", "Type": "String", "DefaultValue": "sgd", "EnumValues": ["sgd", "adam"]},
    {"Name": "Flip", "Type": "Boolean", "DefaultValue": True},
    {"Name": "Place", "Type": "String"},
]
DEFINITION = Definition.parse(definition_text([], PARAMETERS))


def values(**overrides: str) -> dict[str, Any]:
    return DEFINITION.parameter_values({"Place": "here"} | overrides)


def test_defaults_and_overrides_have_the_declared_types() -> None:
    assert values() == {"Epochs": 5, "Rate": 0.1, "Optimizer": "sgd", "Flip": True, "Place": "here"}
    changed = values(Epochs="7", Rate="2", Optimizer="adam", Flip="false", Place="5")
    assert changed == {"Epochs": 7, "Rate": 2, "Optimizer": "adam", "Flip": False, "Place": "5"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"Epoch": "5"}, "parameter Epoch is unknown: did you mean Epochs.*Known ones: Epochs, Flip"),
        ({"Qqqqqq": "5"}, "parameter Qqqqqq is unknown: Known ones"),
        ({"Epochs": "5.5"}, "parameter Epochs: '5.5' is not a whole number"),
        ({"Epochs": "five"}, "not a whole number"),
        ({"Epochs": ""}, "not a whole number"),
        ({"Epochs": "true"}, "not a whole number"),
        ({"Epochs": "[1]"}, "not a whole number"),
        ({"Rate": "fast"}, "parameter Rate: 'fast' is not a number"),
        ({"Rate": "NaN"}, "not a number"),
        ({"Rate": "Infinity"}, "not a number"),
        ({"Rate": "0,5"}, "not a number"),
        ({"Flip": "yes"}, "not true or false"),
        ({"Flip": "1"}, "not true or false"),
        ({"Place": ""}, "parameter Place: the service takes no empty text: leave it out to get its default"),
        ({"Optimizer": "SGD"}, "parameter Optimizer: 'SGD' is not allowed, it takes one of sgd, adam"),
    ],
)
def test_wrong_overrides_are_named(overrides: dict[str, str], message: str) -> None:
    with pytest.raises(LocalRunError, match=message):
        values(**overrides)


def test_a_parameter_without_default_must_be_given() -> None:
    with pytest.raises(LocalRunError, match="parameter Place has no default: give it with --param Place=VALUE"):
        DEFINITION.parameter_values({})


def test_steps_inside_conditions_are_flattened_with_their_branch() -> None:
    inner = condition("Inner", [], then=[processing("Deep")], otherwise=[])
    outer = condition("Outer", [], then=[inner], otherwise=[fail("No", "no")])
    steps = {step.name: step for step in Definition.parse(definition_text([processing("First"), outer])).steps}
    assert list(steps) == ["First", "Outer", "Inner", "Deep", "No"]
    assert [steps[name].branch for name in steps] == [
        None,
        None,
        ("Outer", True),
        ("Inner", True),
        ("Outer", False),
    ]
    assert steps["Deep"].depends_on == {"Inner"}


def test_dependencies_come_from_references_and_from_depends_on() -> None:
    steps = [
        processing("Pack"),
        processing("Other", DependsOn=["Pack"]),
        processing("Use", inputs={"a": output_uri("Pack", "x")}, environment={"H": get("Steps.Other.Arn")}),
        condition(
            "Gate", [{"Type": "Equals", "LeftValue": get("Steps.Use.X"), "RightValue": 1}], then=[], otherwise=[]
        ),
    ]
    parsed = Definition.parse(definition_text(steps))
    assert [set(step.depends_on) for step in parsed.steps] == [set(), {"Pack"}, {"Pack", "Other"}, {"Use"}]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([processing("A", DependsOn=["Nowhere"])], "step A depends on Nowhere, which does not exist"),
        (
            [processing("A", DependsOn=["B"]), processing("B", DependsOn=["A"])],
            "in a circle: (A -> B -> A|B -> A -> B)",
        ),
        ([processing("A", DependsOn=["A"])], "in a circle: A -> A"),
        ([processing("A"), processing("A")], "step A is defined twice"),
    ],
)
def test_what_could_never_end_is_refused(steps: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(LocalRunError, match=message):
        Definition.parse(definition_text(steps))


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(LocalRunError, match="version 2030-01-01 is unknown: 2020-12-01 can be run"):
        Definition.parse('{"Version": "2030-01-01", "Steps": []}')
    with pytest.raises(LocalRunError, match="version None"):
        Definition.parse("{}")


@pytest.mark.parametrize("kind", ["AutoML", "ClarifyCheck", "EMR", "Callback", "QualityCheck", "NotebookJob"])
def test_step_types_of_later_times_are_refused_by_name(kind: str) -> None:
    text = definition_text([processing("Fine"), {"Name": "Odd", "Type": kind, "Arguments": {}}])
    with pytest.raises(LocalRunError, match=f"step Odd is of type {kind}.*Condition, Fail, Lambda, Model, Processing"):
        Definition.parse(text).refuse_unsupported(SUPPORTED)


@pytest.mark.parametrize("kind", ["Training", "Tuning"])
def test_channels_that_a_local_run_does_not_bring_are_refused_before_anything_runs(kind: str) -> None:
    step = training("Fit", "", hyperparameters={}, channels={"train": "s3://b/x"})
    step["Arguments"]["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataType"] = "AugmentedManifestFile"
    if kind == "Tuning":
        step = {"Name": "Fit", "Type": kind, "Arguments": {"TrainingJobDefinition": step["Arguments"]}}
    with pytest.raises(LocalRunError, match="channel train: a AugmentedManifestFile is not read by a local run"):
        Definition.parse(definition_text([step])).refuse_unsupported(SUPPORTED)


def test_an_input_mode_that_is_an_expression_is_left_for_later() -> None:
    step = training("Fit", "", hyperparameters={}, channels={"train": "s3://b/x"})
    step["Arguments"]["InputDataConfig"][0]["InputMode"] = get("Parameters.Mode")
    Definition.parse(definition_text([step])).refuse_unsupported(SUPPORTED)
