"""Placeholders: substitution that leaves valid JSON and nothing half done."""

from __future__ import annotations

import json

import pytest

from pipeline_def.placeholders import (
    MAX_DEFINITION_CHARACTERS,
    NAMES,
    check_substitution,
    find,
    placeholder,
    substitute,
)


def test_placeholders_of_a_definition_are_the_known_ones(definition: str) -> None:
    assert find(definition) <= NAMES


@pytest.mark.parametrize(
    "value", ['with "quotes"', "back\\slash", "line\nbreak", "tab\t", "\x01", "ünïcödé", "{}", '"}],"x":[{"'],
)  # fmt: skip
def test_the_substituted_definition_parses_whatever_the_values_hold(definition: str, value: str) -> None:
    document = json.loads(substitute(definition, dict.fromkeys(find(definition), value)))
    [group] = [step for step in document["Steps"] if step["Name"] == "Gate"]
    register = group["Arguments"]["IfSteps"][-1]
    assert register["Arguments"]["ModelPackageGroupName"] == value


def test_a_missing_and_an_unused_value_are_named() -> None:
    with pytest.raises(ValueError, match=r"without value \['DataBucket'\], values without use \['Extra'\]"):
        check_substitution('"${DataBucket}"', {"Extra": "x"})


def test_a_definition_past_the_services_limit_is_refused() -> None:
    check_substitution("x" * MAX_DEFINITION_CHARACTERS, {})
    with pytest.raises(ValueError, match="1048577 characters, the service takes 1048576"):
        check_substitution("x" * (MAX_DEFINITION_CHARACTERS + 1), {})


def test_a_definition_that_grows_past_the_limit_by_substitution_is_refused() -> None:
    with pytest.raises(ValueError, match="the service takes"):
        substitute('"${DataBucket}"', {"DataBucket": "x" * MAX_DEFINITION_CHARACTERS})


def test_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(ValueError, match="placeholder Bucket is unknown: use one of ArtifactBucket"):
        placeholder("Bucket")
