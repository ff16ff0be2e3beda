"""Filter: confidence against the threshold that holds, as numbers."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from handler_tools import CONTEXT, ENVIRONMENT
from pydantic import ValidationError

from functions.filter import handler as filter_

SERIALIZED = {
    "id": "abc",
    "image": {"bucket": "data", "key": "a.jpg", "version": "v1", "bytes": 10},
    "payload": {"bucket": "artifacts", "key": "classify/abc.jpg", "content_type": "image/jpeg"},
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def _decide(confidence: Any, threshold: Any = None, **changes: Any) -> dict:
    classified = {
        "label": "cat",
        "index": 1,
        "confidence": confidence,
        "threshold": threshold,
        "ranked": [{"label": "cat", "probability": confidence}],
        "model": "m",
    }
    event = {"serialized": SERIALIZED, "classified": classified | changes, "execution": "arn:execution"}
    return filter_.handler(event, CONTEXT)["item"]


@pytest.mark.parametrize(
    ("confidence", "suggested", "setting", "accepted"),
    [
        (0.9, 0.8, None, True),
        (0.7, 0.8, None, False),
        (0.8, 0.8, None, True),  # the boundary itself
        (0.7999999999999999, 0.8, None, False),
        (0.9, None, None, False),  # nobody knows what is sure enough
        (1.0, None, None, False),
        (0.9, 0.8, "0.95", False),  # the setting beats the model's suggestion, either way
        (0.7, 0.8, "0.6", True),
        (0.6, None, "0.6", True),
        (0.0, None, "0", True),
        (0.0, 0.0, "", True),
        # As texts "0.9" would be above "0.10", and 1e-05 above 0.5.
        (0.1, 0.9, None, False),
        (1e-05, 0.5, None, False),
    ],
)
def test_confidence_against_the_threshold(monkeypatch, confidence, suggested, setting, accepted):
    if setting is not None:
        monkeypatch.setenv("CONFIDENCE_THRESHOLD", setting)
    item = _decide(confidence, suggested)
    assert item["status"]["S"] == ("ACCEPTED" if accepted else "THRESHOLD_CONFIDENCE_NOT_MET")
    result = json.loads(item["result"]["S"])
    assert result["status"] == item["status"]["S"]
    assert result["threshold"] == (float(setting) if setting else suggested)


@pytest.mark.parametrize("confidence", ["0.99", b"0.99", None, [0.99], float("nan"), 1.01, -0.1, True])
def test_what_is_no_probability_is_an_error_and_never_accepted(confidence):
    with pytest.raises(ValidationError, match="confidence"):
        _decide(confidence, 0.5)


@pytest.mark.parametrize("threshold", ["0.5", 1.5, float("nan")])
def test_a_threshold_that_is_none_is_an_error(threshold):
    with pytest.raises(ValidationError, match="threshold"):
        _decide(0.9, threshold)


def test_the_result_is_whole_and_the_item_is_what_dynamodb_takes():
    before = datetime.now(timezone.utc)
    item = _decide(1e-05, None, model=None)
    assert {name: next(iter(value)) for name, value in item.items()} == {
        **dict.fromkeys(("id", "status", "s3_bucket", "s3_key", "label", "classified_at", "result"), "S"),
        "confidence": "N",
        "expires_at": "N",
    }
    result = json.loads(item["result"]["S"])
    assert (result["id"], result["s3_bucket"], result["s3_key"], result["s3_version"]) == ("abc", "data", "a.jpg", "v1")
    assert (result["label"], result["confidence"], result["model"], result["execution"]) == (
        "cat",
        1e-05,
        None,
        "arn:execution",
    )
    days = (int(item["expires_at"]["N"]) - before.timestamp()) / 86_400
    assert days == pytest.approx(365, abs=0.01)


def test_the_decision_is_counted(capsys):
    _decide(0.9, 0.8)
    _decide(0.1, 0.8)
    printed = capsys.readouterr().out.replace(" ", "")
    assert '"Accepted":[1.0]' in printed
    assert '"SentToReview":[1.0]' in printed
