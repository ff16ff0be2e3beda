"""The select_window function against an emulated S3."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.select_window import captures, results
from functions.select_window import handler as select_window
from monitor.history import FILE as RESULT
from monitor.predictions import FILE as PREDICTIONS
from monitor.undecided import FILE as UNDECIDED

BUCKET, ENDPOINT = "imgpipe-dev-artifacts", "imgpipe-dev"
NOW = "2026-01-31T12:20:30.123Z"
EARLIER = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


class Bucket:
    """An artifact bucket with a live version."""

    def __init__(self) -> None:
        self.s3: Any = boto3.client("s3", region_name="us-east-1")
        self.s3.create_bucket(Bucket=BUCKET)
        for name in ("package/baseline.json", "package/evaluation.json", "package/model.tar.gz", "serving/model.json"):
            self.put(f"models/one/{name}")
        self.deploy()

    def put(self, key: str, body: str = "{}") -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body.encode())

    def deploy(self, uri: str = f"s3://{BUCKET}/models/one/package/baseline.json", **fields: str) -> None:
        content = {"schema_version": 1, "version": 4, "metadata": {"baseline_uri": uri}, **fields}
        self.put(f"serving/{ENDPOINT}/live.json", json.dumps(content))

    def capture(self, *hours: str) -> None:
        for hour in hours:
            self.put(f"capture/{ENDPOINT}/AllTraffic/{hour}/a.jsonl")

    def result(self, *hours: str, undecided: bool = False) -> None:
        """What a run leaves whose window ended then; a repeated one overwrites it."""
        for hour in hours:
            for name in ("monitor.json", "predictions.jsonl"):
                self.put(f"monitor/{ENDPOINT}/{hour}/{name}")
            self.put(f"monitor/{ENDPOINT}/{hour}/undecided.txt", "60 of 100 distinct images\n" if undecided else "")

    def manifest(self, uri: str) -> list[Any]:
        key = uri.removeprefix(f"s3://{BUCKET}/")
        content: list[Any] = json.loads(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
        return content


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "ARTIFACT_BUCKET": BUCKET,
        "ENDPOINT_NAME": ENDPOINT,
        "EVERY_HOURS": "3",
        "LABEL_DAYS": "14",
        "VOLUME_SIZE_GB": "30",
        "JOB_NAME_PREFIX": "imgpipe-dev-monitor",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield Bucket()


@pytest.fixture
def deployed_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's clock cannot be set back here, so the handler is told the time of the deployment."""
    original = select_window.live_version

    def live(*arguments: Any) -> Any:
        found = original(*arguments)
        return found and (found[0], EARLIER)

    monkeypatch.setattr(select_window, "live_version", live)


@pytest.mark.usefixtures("deployed_long_ago")
def test_the_window_is_the_last_whole_hours(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/08", "2026/01/31/09", "2026/01/31/10", "2026/01/31/11", "2026/01/31/12")
    window = select_window.handler({"time": NOW}, None)
    assert window["captured"] == 3
    assert (window["start"], window["end"]) == ("2026-01-31T09:00:00Z", "2026-01-31T12:00:00Z")
    assert (window["version"], window["since"]) == ("4", "none")
    assert window["job_name"] == "imgpipe-dev-monitor-20260131-122030"
    assert window["output_uri"] == f"s3://{BUCKET}/monitor/{ENDPOINT}/2026-01-31T12"
    assert bucket.manifest(window["capture"]) == [
        {"prefix": f"s3://{BUCKET}/"},
        f"monitor/{ENDPOINT}/2026-01-31T12/inputs/window.json",
        *(f"capture/{ENDPOINT}/AllTraffic/2026/01/31/{hour}/a.jsonl" for hour in ("09", "10", "11")),
    ]


@pytest.mark.usefixtures("deployed_long_ago")
def test_files_still_arrive_some_minutes_after_the_hour(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/10", "2026/01/31/11")
    window = select_window.handler({"time": "2026-01-31T12:14:59Z"}, None)
    assert (window["end"], window["captured"]) == ("2026-01-31T11:00:00Z", 1)


@pytest.mark.usefixtures("deployed_long_ago")
def test_windows_that_follow_each_other_share_no_hour_and_leave_none_out(bucket: Bucket) -> None:
    bucket.capture(*(f"2026/01/31/{hour:02}" for hour in range(24)))
    times = [f"2026-01-31T{hour:02}:20:00Z" for hour in (6, 9, 12)]
    windows = [select_window.handler({"time": time}, None) for time in times]
    seen = [key for window in windows for key in bucket.manifest(window["capture"])[2:]]
    assert len(seen) == len(set(seen)) == 9
    assert [window["start"] for window in windows[1:]] == [window["end"] for window in windows[:-1]]


@pytest.mark.usefixtures("deployed_long_ago")
def test_no_input_is_empty_and_a_model_is_not_brought(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/11")
    window = select_window.handler({"time": NOW}, None)
    marker = f"monitor/{ENDPOINT}/2026-01-31T12/inputs/window.json"
    assert bucket.manifest(window["ground_truth"])[1:] == bucket.manifest(window["history"])[1:] == [marker]
    assert bucket.manifest(window["baseline"])[2:] == [
        "models/one/package/baseline.json",
        "models/one/package/evaluation.json",
        "models/one/serving/model.json",
    ]
    written = json.loads(bucket.s3.get_object(Bucket=BUCKET, Key=marker)["Body"].read())
    assert (written["endpoint_name"], written["version"]) == (ENDPOINT, "4")


@pytest.mark.usefixtures("deployed_long_ago")
def test_labels_and_earlier_results(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/11")
    bucket.put("ground-truth/a.csv")
    for hour in ("2026-01-31T06", "2026-01-31T09", "2026-01-31T12"):
        for name in ("monitor.json", "monitor.html", "inputs/window.json"):
            bucket.put(f"monitor/{ENDPOINT}/{hour}/{name}")
    window = select_window.handler({"time": NOW}, None)
    assert bucket.manifest(window["ground_truth"])[2:] == ["ground-truth/a.csv"]
    # not the result of this very window, which an earlier run left
    assert bucket.manifest(window["history"])[2:] == [
        f"monitor/{ENDPOINT}/2026-01-31T{hour}/monitor.json" for hour in ("06", "09")
    ]


def test_what_an_earlier_version_answered_does_not_count(bucket: Bucket) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    for hours in range(5):
        bucket.capture(f"{now - datetime.timedelta(hours=hours):%Y/%m/%d/%H}")
    time = (now + datetime.timedelta(hours=1, minutes=20)).isoformat()
    window = select_window.handler({"time": time}, None)
    assert window["captured"] == 1
    assert window["since"] > window["start"]


def test_a_deployment_that_changed_nothing_leaves_the_earlier_answers_in(bucket: Bucket) -> None:
    bucket.deploy(deployed_at="2026-01-31T10:30:00.000Z")  # the file itself is of now
    bucket.capture("2026/01/31/09", "2026/01/31/10", "2026/01/31/11")
    window = select_window.handler({"time": NOW}, None)
    assert (window["captured"], window["since"]) == (2, "2026-01-31T10:30:00Z")


@pytest.mark.usefixtures("deployed_long_ago")
def test_the_models_name_is_passed_on(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/11")
    assert select_window.handler({"time": NOW}, None)["model_name"] == "none"
    bucket.deploy(model_name="imgpipe-dev-v4-0123abcd")
    assert select_window.handler({"time": NOW}, None)["model_name"] == "imgpipe-dev-v4-0123abcd"


@pytest.mark.usefixtures("deployed_long_ago")
@pytest.mark.parametrize(
    ("wished", "publish"),
    [
        ({}, True),
        ({"end": "2026-01-31T12:00:00Z"}, False),
        ({"end": "2026-01-31T12:00:00Z", "publish": True}, True),
        ({"publish": False}, False),
    ],
)
def test_a_look_at_other_hours_is_not_published(bucket: Bucket, wished: dict[str, Any], publish: bool) -> None:
    bucket.capture("2026/01/31/11")
    assert select_window.handler({"time": NOW, "input": wished}, None)["publish"] is publish


@pytest.mark.usefixtures("deployed_long_ago")
@pytest.mark.parametrize(
    ("earlier", "start"),
    [
        (["2026-01-31T09"], "2026-01-31T09:00:00Z"),
        (["2026-01-31T11"], "2026-01-31T09:00:00Z"),  # never shorter than the setting
        (["2026-01-30T21", "2026-01-31T03"], "2026-01-31T03:00:00Z"),  # a run failed, or came late
        (["2026-01-20T00"], "2026-01-24T12:00:00Z"),
        (["2026-01-31T15"], "2026-01-31T09:00:00Z"),  # a later one says nothing of these hours
        (["notes"], "2026-01-31T09:00:00Z"),
    ],
)
def test_a_window_begins_where_the_newest_earlier_one_ended(bucket: Bucket, earlier: list[str], start: str) -> None:
    bucket.capture("2026/01/31/11")
    for hour in earlier:
        bucket.put(f"monitor/{ENDPOINT}/{hour}/monitor.json")
    assert select_window.handler({"time": NOW}, None)["start"] == start


@pytest.mark.usefixtures("deployed_long_ago")
@pytest.mark.parametrize(
    ("decided", "undecided", "start"),
    [
        (["2026-01-31T00"], ["2026-01-31T03", "2026-01-31T06", "2026-01-31T09"], "2026-01-31T00:00:00Z"),
        (["2026-01-31T06"], ["2026-01-31T03", "2026-01-31T09"], "2026-01-31T06:00:00Z"),
        (["2026-01-31T09"], ["2026-01-31T06"], "2026-01-31T09:00:00Z"),
        ([], ["2026-01-31T06", "2026-01-31T09"], "2026-01-31T03:00:00Z"),  # where the first window began
        ([], ["2026-01-20T00", "2026-01-31T09"], "2026-01-24T12:00:00Z"),
        (["2026-01-20T00"], ["2026-01-31T09"], "2026-01-24T12:00:00Z"),
    ],
)
def test_windows_without_a_verdict_are_part_of_the_next_one(
    bucket: Bucket, decided: list[str], undecided: list[str], start: str
) -> None:
    bucket.capture("2026/01/31/11")
    bucket.result(*decided)
    bucket.result(*undecided, undecided=True)
    window = select_window.handler({"time": NOW}, None)
    assert window["start"] == start
    # what was told of already, in whatever result, is not new
    assert window["new_since"] == f"{max(decided + undecided)}:00:00Z"


@pytest.mark.usefixtures("deployed_long_ago")
def test_a_quiet_endpoint_gathers_captures_until_there_is_a_verdict(bucket: Bucket) -> None:
    bucket.capture(*(f"2026/01/31/{hour:02}" for hour in range(15)))
    starts = []
    for hour, undecided in ((6, True), (9, True), (12, False), (15, True)):
        window = select_window.handler({"time": f"2026-01-31T{hour:02}:20:00Z"}, None)
        starts.append((window["start"][11:13], window["captured"], window["undecided_since"][11:13]))
        bucket.result(f"2026-01-31T{hour:02}", undecided=undecided)
    assert starts == [("03", 3, "03"), ("03", 6, "03"), ("03", 9, "03"), ("12", 3, "12")]


def test_the_job_names_its_files_so() -> None:
    assert (results.RESULT, results.PREDICTIONS, results.UNDECIDED) == (RESULT, PREDICTIONS, UNDECIDED)


@pytest.mark.usefixtures("deployed_long_ago")
def test_a_verdict_of_a_repeated_run_counts(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/11")
    bucket.result("2026-01-31T03")
    bucket.result("2026-01-31T09", undecided=True)
    assert select_window.handler({"time": NOW}, None)["start"] == "2026-01-31T03:00:00Z"
    bucket.result("2026-01-31T09")
    assert select_window.handler({"time": NOW}, None)["start"] == "2026-01-31T09:00:00Z"


@pytest.mark.usefixtures("deployed_long_ago")
def test_captures_older_than_the_longest_window_are_said_to_be_left_out(
    bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.result("2026-01-20T00")
    bucket.result("2026-01-31T09", undecided=True)
    bucket.capture("2026/01/19/23", "2026/01/25/00", "2026/01/31/11")  # the first of them was decided
    window = select_window.handler({"time": NOW}, None)
    assert (window["start"], window["undecided_since"]) == ("2026-01-24T12:00:00Z", "2026-01-25T00:00:00Z")
    assert capsys.readouterr().out == ""
    bucket.capture("2026/01/21/07")
    window = select_window.handler({"time": NOW}, None)
    assert (window["captured"], window["start"]) == (2, "2026-01-24T12:00:00Z")
    assert window["undecided_since"] == "2026-01-21T07:00:00Z"
    assert "captured from 2026-01-21T07:00:00Z to 2026-01-24T12:00:00Z is left out" in capsys.readouterr().out
    marker = bucket.s3.get_object(Bucket=BUCKET, Key=f"monitor/{ENDPOINT}/2026-01-31T12/inputs/window.json")
    written = json.loads(marker["Body"].read())
    assert {name: written[name] for name in ("start", "undecided_since", "new_since")} == {
        "start": "2026-01-24T12:00:00Z",
        "undecided_since": "2026-01-21T07:00:00Z",
        "new_since": "2026-01-31T09:00:00Z",
    }


def test_a_new_version_waits_since_its_deployment(bucket: Bucket) -> None:
    bucket.deploy(deployed_at="2026-01-31T08:30:00.000Z")
    bucket.result("2026-01-30T00")
    bucket.result("2026-01-31T06", undecided=True)
    bucket.capture("2026/01/31/02", "2026/01/31/10")
    window = select_window.handler({"time": NOW}, None)
    assert (window["captured"], window["since"]) == (1, "2026-01-31T08:30:00Z")
    assert window["undecided_since"] == "2026-01-31T10:00:00Z"


@pytest.mark.usefixtures("deployed_long_ago")
def test_a_look_lies_beside_the_sequence_of_windows_and_ends_none(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/05", "2026/01/31/11")
    bucket.result("2026-01-31T03")
    bucket.result("2026-01-31T09", undecided=True)
    look = select_window.handler({"time": NOW, "input": {"end": "2026-01-31T10:00:00Z"}}, None)
    assert (look["start"], look["output_prefix"]) == (
        "2026-01-31T03:00:00Z",
        f"monitor/{ENDPOINT}/looks/2026-01-31T10",
    )
    for name in ("monitor.json", "predictions.jsonl"):
        bucket.put(f"{look['output_prefix']}/{name}")
    window = select_window.handler({"time": NOW}, None)
    assert (window["start"], window["new_since"]) == ("2026-01-31T03:00:00Z", "2026-01-31T09:00:00Z")
    assert not [key for key in bucket.manifest(window["history"]) if "looks" in key]


@pytest.mark.usefixtures("deployed_long_ago")
def test_charts_show_verdicts_and_labels_find_what_no_verdict_came_of(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/11")
    bucket.result("2026-01-31T03", "2026-01-31T06")
    bucket.result("2026-01-31T09", undecided=True)
    window = select_window.handler({"time": NOW}, None)
    assert [key.removeprefix(f"monitor/{ENDPOINT}/2026-01-31T") for key in bucket.manifest(window["history"])[2:]] == [
        "03/monitor.json",
        "06/monitor.json",
        "03/predictions.jsonl",
        "06/predictions.jsonl",
        "09/predictions.jsonl",
    ]


@pytest.mark.usefixtures("deployed_long_ago")
def test_predictions_are_brought_as_long_as_labels_of_them_count(bucket: Bucket) -> None:
    bucket.capture("2026/01/31/11")
    for hour in ("2026-01-17T11", "2026-01-17T12", "2026-01-31T09", "2026-01-31T12"):
        bucket.put(f"monitor/{ENDPOINT}/{hour}/predictions.jsonl")
    window = select_window.handler({"time": NOW}, None)
    assert bucket.manifest(window["history"])[2:] == [
        f"monitor/{ENDPOINT}/{hour}/predictions.jsonl" for hour in ("2026-01-17T12", "2026-01-31T09")
    ]


@pytest.mark.usefixtures("deployed_long_ago")
def test_more_captures_than_the_volume_holds_are_refused(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.capture("2026/01/31/11")
    bucket.put(f"capture/{ENDPOINT}/AllTraffic/2026/01/31/11/b.jsonl", "x" * 2000)
    monkeypatch.setattr(captures, "VOLUME_SHARE", 60e-9)
    with pytest.raises(ValueError, match=r"too many for a volume of 30 GB: lower serving\.capture_percent"):
        select_window.handler({"time": NOW}, None)
    monkeypatch.setattr(captures, "VOLUME_SHARE", 70e-9)
    assert select_window.handler({"time": NOW}, None)["captured"] == 2


@pytest.mark.usefixtures("deployed_long_ago")
def test_hours_to_make_up_for_that_do_not_fit_are_left_out_the_oldest_first(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for hour in ("03", "05", "07", "11"):
        bucket.put(f"capture/{ENDPOINT}/AllTraffic/2026/01/31/{hour}/a.jsonl", "x" * 1000)
    bucket.result("2026-01-31T03")
    assert select_window.handler({"time": NOW}, None)["captured"] == 4
    monkeypatch.setattr(captures, "VOLUME_SHARE", 70e-9)  # 2,100 bytes of 30 GB
    window = select_window.handler({"time": NOW}, None)
    assert [key[-10:-8] for key in bucket.manifest(window["capture"])[2:]] == ["07", "11"]
    assert (window["start"], window["undecided_since"]) == ("2026-01-31T06:00:00Z", "2026-01-31T03:00:00Z")
    assert "captured from 2026-01-31T03:00:00Z to 2026-01-31T06:00:00Z is left out" in capsys.readouterr().out


def test_another_end_and_deployment_may_be_asked_for(bucket: Bucket) -> None:
    bucket.capture("2026/01/30/20", "2026/01/30/21", "2026/01/30/22")
    wished = {"end": "2026-01-30T23:00:00Z", "since": "2026-01-30T21:30:00Z"}
    window = select_window.handler({"time": NOW, "input": wished}, None)
    assert (window["captured"], window["start"], window["end"], window["since"]) == (
        2,
        "2026-01-30T20:00:00Z",
        "2026-01-30T23:00:00Z",
        "2026-01-30T21:30:00Z",
    )


def test_nothing_captured(bucket: Bucket) -> None:
    bucket.put(f"capture/{ENDPOINT}/AllTraffic/2026/01/31/11/empty.jsonl", "")
    window = select_window.handler({"time": NOW}, None)
    assert window["captured"] == 0
    assert "no captured requests" in window["reason"]
    assert set(window) == {"captured", "reason"}


def test_nothing_deployed(bucket: Bucket) -> None:
    bucket.s3.delete_object(Bucket=BUCKET, Key=f"serving/{ENDPOINT}/live.json")
    bucket.capture("2026/01/31/11")
    assert select_window.handler({"time": NOW}, None) == {
        "captured": 0,
        "reason": f"endpoint {ENDPOINT} has no live version: approve one first",
    }


@pytest.mark.usefixtures("deployed_long_ago")
@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("s3://elsewhere/models/one/package/baseline.json", "lies outside of s3://imgpipe-dev-artifacts/"),
        (f"s3://{BUCKET}/models/two/package/baseline.json", "does not exist: deploy a version that has its baseline"),
    ],
)
def test_a_baseline_out_of_reach(bucket: Bucket, uri: str, reason: str) -> None:
    bucket.deploy(uri)
    bucket.capture("2026/01/31/11")
    with pytest.raises(ValueError, match=reason):
        select_window.handler({"time": NOW}, None)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"version": 1, "metadata": {}}'])
def test_a_malformed_live_version(bucket: Bucket, content: str) -> None:
    bucket.put(f"serving/{ENDPOINT}/live.json", content)
    with pytest.raises(ValueError, match=r"live\.json is malformed .*: deploy the version again"):
        select_window.handler({"time": NOW}, None)


@pytest.mark.usefixtures("deployed_long_ago")
def test_a_job_name_that_is_too_long(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.capture("2026/01/31/11")
    monkeypatch.setenv("JOB_NAME_PREFIX", "x" * 50)
    with pytest.raises(ValueError, match="longer than 63 characters"):
        select_window.handler({"time": NOW}, None)
