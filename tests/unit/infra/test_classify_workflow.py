"""The definitions of the classification machines: what is caught, tried again and passed on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.workflows.classify import classify_machine, prefix_machine
from infra.workflows.image_states import TAKEN, Targets

ROOT = Path(__file__).resolve().parents[3]
TARGETS = Targets(
    partition="aws-cn",
    function_arns={name: f"arn:aws-cn:lambda:r:1:function:{name}" for name in ("serialize", "classify", "filter")},
    table_name="results",
    review_queue_url="https://sqs/review.fifo",
    failure_queue_url="https://sqs/failures",
)
PREFIX = prefix_machine(TARGETS, result_bucket="artifacts", max_concurrency=7, tolerated_failure_percent=20)
MACHINES = {
    "image": classify_machine(TARGETS),
    "prefix": PREFIX,
    "item": PREFIX["States"]["Images"]["ItemProcessor"],
}
KEYS = [
    ("a/b.jpg", True),
    ("b.JPEG", True),
    ("c d.Png", True),
    ("e.tiff", True),
    ("readme.txt", False),
    ("folder/", False),
    ("jpg", False),
    ("archive.jpg.zip", False),
]


@pytest.fixture(params=MACHINES)
def machine(request) -> dict[str, Any]:
    """Each level of states in turn."""
    return MACHINES[request.param]


def _following(state: dict[str, Any]) -> Iterator[str]:
    if "Next" in state:
        yield state["Next"]
    if "Default" in state:
        yield state["Default"]
    for part in (*state.get("Choices", []), *state.get("Catch", [])):
        yield part["Next"]


def test_every_state_is_reached_and_none_is_missing(machine):
    seen, todo = set(), [machine["StartAt"]]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += _following(machine["States"][name])
    assert seen == set(machine["States"])


def test_every_failure_ends_in_the_queue_and_then_as_failed(machine):
    """Without a catch the input of a failed execution is lost to who works off the queue."""
    [failed] = [name for name, state in machine["States"].items() if state["Type"] == "Fail"]
    [fail] = [name for name, state in machine["States"].items() if state.get("Next") == failed]
    caught = _checks_for_a_cause(machine, fail)
    for name, state in machine["States"].items():
        if state["Type"] in ("Task", "Map") and name != fail:
            last = state["Catch"][-1]
            assert (last["ErrorEquals"], last["Next"], last["ResultPath"]) == (["States.ALL"], caught, "$.error"), name
    message = machine["States"][fail]["Parameters"]["MessageBody"]
    assert {"input.$", "error.$", "cause.$", "execution.$"} <= set(message)


def _checks_for_a_cause(machine: dict[str, Any], following: str) -> str:
    """The state that goes on to `following` with a cause in any case: time-outs have none."""
    [name] = [
        name
        for name, state in machine["States"].items()
        if state["Type"] == "Choice"
        and {"Variable": "$.error.Cause", "IsPresent": True, "Next": following} in state["Choices"]
    ]
    filled = machine["States"][machine["States"][name]["Default"]]
    assert (filled["ResultPath"], filled["Next"]) == ("$.error", following)
    assert filled["Parameters"]["Error.$"] == "$.error.Error"
    assert filled["Parameters"]["Cause"]
    return name


def test_what_the_queue_is_told_is_there_wherever_the_failure_was(machine):
    [begin] = [state for name, state in machine["States"].items() if name.startswith("Begin")]
    assert begin["Parameters"] == {"input.$": "$"}
    kept = [state for state in machine["States"].values() if state["Type"] in ("Task", "Map") and state is not None]
    for state in kept:
        assert state.get("ResultPath", "$") != "$", "an answer must not take the input's place"


def _retried(state: dict[str, Any]) -> set[str]:
    return {error for rule in state["Retry"] if rule.get("MaxAttempts") != 0 for error in rule["ErrorEquals"]}


def _raised(function: str, base: str = "Exception") -> set[str]:
    """Names of a function's own errors."""
    texts = [path.read_text() for path in (ROOT / "functions" / function).glob("*.py")]
    return {name for text in texts for name in re.findall(rf"^class (\w+)\({base}\)", text, re.MULTILINE)}


@pytest.mark.parametrize("function", ["serialize", "classify", "filter"])
def test_functions_are_tried_again_for_what_passes_only(function):
    state = MACHINES["image"]["States"][function.capitalize()]
    own = _raised(function) & _retried(state)
    assert own == {name for name in _raised(function) if name.endswith("Unavailable")}
    assert {"Lambda.TooManyRequestsException", "Lambda.ServiceException", "Sandbox.Timedout"} <= _retried(state)
    assert not {"States.ALL", "States.TaskFailed"} & _retried(state), "these would hold what is final too"
    assert all(rule["BackoffRate"] > 1 and rule["JitterStrategy"] == "FULL" for rule in state["Retry"])


def test_who_comes_second_goes_on_with_what_is_written():
    record = MACHINES["image"]["States"]["Record"]
    assert record["Parameters"]["ConditionExpression"] == "attribute_not_exists(id)"
    assert record["Retry"][0] == {"ErrorEquals": [TAKEN], "MaxAttempts": 0}
    assert record["Catch"][0] == {"ErrorEquals": [TAKEN], "ResultPath": None, "Next": "ReadResult"}
    assert MACHINES["image"]["States"]["ReadResult"]["Parameters"]["ConsistentRead"] is True


def test_no_image_travels_through_the_state():
    kept = MACHINES["image"]["States"]["Serialize"]["ResultSelector"]
    assert set(kept) == {"id.$", "image.$", "payload.$"}


def test_the_map_is_distributed_and_bounded():
    images = PREFIX["States"]["Images"]
    assert images["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    assert (images["MaxConcurrency"], images["ToleratedFailurePercentage"]) == (7, 20)
    assert images["ResultWriter"]["Parameters"]["Bucket"] == "artifacts", "outputs of a million images fit no state"


def _matches(rule: dict[str, Any], key: str) -> bool:
    patterns = [choice["StringMatches"].replace(".", r"\.").replace("*", ".*") for choice in rule["Or"]]
    return any(re.fullmatch(pattern, key) for pattern in patterns)


@pytest.mark.parametrize(("key", "is_image"), KEYS)
def test_which_files_below_a_prefix_are_classified(key, is_image):
    state = MACHINES["item"]["States"]["IsImage"]
    [rule] = state["Choices"]
    assert (rule["Next"], state["Default"]) == ("Begin", "Skipped")
    assert _matches(rule, key) == is_image


@pytest.mark.parametrize(("key", "is_image"), KEYS)
def test_which_files_of_an_inbox_are_classified(key, is_image):
    """Of events alone: a request names what it wants classified."""
    state = MACHINES["image"]["States"]["IsImage"]
    [rule] = state["Choices"]
    present, other = rule["And"]
    assert present == {"Variable": "$.input.detail.object.key", "IsPresent": True}
    assert {choice["Variable"] for choice in other["Not"]["Or"]} == {"$.input.detail.object.key"}
    assert (rule["Next"], state["Default"]) == ("Skipped", "Serialize")
    assert _matches(other["Not"], key) == is_image


def test_a_prefix_run_counts_objects_and_says_where_its_results_are_when_it_fails():
    states = PREFIX["States"]
    assert set(states["Summary"]["Parameters"]) == {"s3_bucket.$", "s3_prefix.$", "objects", "results.$"}
    assert set(states["Summary"]["Parameters"]["objects"]) == {"total.$", "succeeded.$", "failed.$"}
    message = states["FailPrefix"]["Parameters"]["MessageBody"]
    assert message["results"] == states["Images"]["ResultWriter"]["Parameters"]


def test_definitions_are_json_and_name_the_partition_and_no_endpoint():
    for definition in (MACHINES["image"], PREFIX):
        text = json.dumps(definition)
        assert "arn:aws:" not in text
        assert "imgpipe" not in text, "names come from settings"
        assert '"QueryLanguage"' not in text
