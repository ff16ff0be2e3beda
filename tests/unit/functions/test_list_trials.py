"""The list_trials function against an emulated S3 and answers that botocore checks by SageMaker's service model."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from moto import mock_aws

from functions.list_trials import handler as list_trials

BUCKET = "imgpipe-dev-artifacts"
OUTPUT = f"s3://{BUCKET}/executions/one/trials"
JOB = "pipelines-abc-Tune-xyz"
START = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
ARN = "arn:aws:sagemaker:us-east-1:123456789012"


def _summary(number: int, value: float | None = 0.5, status: str = "Completed", **fields: object) -> dict:
    name = f"{JOB}-{number:03}-abcdef01"
    summary: dict = {
        "TrainingJobName": name,
        "TrainingJobArn": f"{ARN}:training-job/{name}",
        "CreationTime": START + datetime.timedelta(minutes=number),
        "TrainingStartTime": START + datetime.timedelta(minutes=number + 1),
        "TrainingEndTime": START + datetime.timedelta(minutes=number + 2, seconds=30),
        "TrainingJobStatus": status,
        "TunedHyperParameters": {"optimizer": "sgd", "learning_rate": "0.05"},
    }
    if value is not None:
        summary["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "Type": "Maximize",
            "MetricName": "validation:accuracy",
            "Value": value,
        }
    summary |= fields
    return {key: item for key, item in summary.items() if item is not None}


def _description(best: dict | None, **fields: object) -> dict:
    description = {
        "HyperParameterTuningJobName": JOB,
        "HyperParameterTuningJobArn": f"{ARN}:hyper-parameter-tuning-job/{JOB}",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "validation:accuracy"},
            "ResourceLimits": {"MaxParallelTrainingJobs": 2},
        },
        "HyperParameterTuningJobStatus": "Completed",
        "CreationTime": START,
        "TrainingJobStatusCounters": {},
        "ObjectiveStatusCounters": {},
    }
    return description | ({"BestTrainingJob": best} if best else {}) | fields


@pytest.fixture
def stubber(monkeypatch):
    """What SageMaker is to answer; S3 is emulated."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        real = boto3.client
        real("s3").create_bucket(Bucket=BUCKET)
        sagemaker = real("sagemaker")
        monkeypatch.setattr(
            list_trials.boto3,
            "client",
            lambda name, **options: sagemaker if name == "sagemaker" else real(name, **options),
        )
        with Stubber(sagemaker) as stubber:
            yield stubber


@pytest.fixture
def tuned(stubber):
    """Sets a tuning job's description and the pages of its training jobs."""

    def answer(description: dict, *pages: list[dict]) -> None:
        stubber.add_response("describe_hyper_parameter_tuning_job", description, {"HyperParameterTuningJobName": JOB})
        for number, page in enumerate(pages):
            asked = {"HyperParameterTuningJobName": JOB, "SortBy": "CreationTime", "SortOrder": "Ascending"}
            asked["MaxResults"] = 100
            asked |= {"NextToken": f"page{number}"} if number else {}
            more = {"NextToken": f"page{number + 1}"} if number < len(pages) - 1 else {}
            stubber.add_response(
                "list_training_jobs_for_hyper_parameter_tuning_job", {"TrainingJobSummaries": page} | more, asked
            )

    return answer


Tuned = Callable[..., None]


def _list(name: str = JOB, uri: str = OUTPUT) -> dict:
    return list_trials.handler({"tuning_job_name": name, "output_uri": uri}, None)


def _written() -> dict:
    body = boto3.session.Session().client("s3").get_object(Bucket=BUCKET, Key="executions/one/trials/trials.json")
    return json.loads(body["Body"].read())


def test_answer_and_file(tuned: Tuned):
    best = _summary(2, 0.75)
    tuned(_description(best), [_summary(1, 0.5), best])
    answer = _list()
    assert answer == {
        "trials_uri": f"{OUTPUT}/",
        "best_training_job": f"{JOB}-002-abcdef01",
        "best_value": 0.75,
        "count": 2,
    }
    json.dumps(answer)
    assert _written() == {
        "schema_version": 1,
        "tuning_job": JOB,
        "strategy": "Bayesian",
        "objective": {"name": "validation:accuracy", "type": "Maximize"},
        "best": f"{JOB}-002-abcdef01",
        "trials": [
            {
                "name": f"{JOB}-00{number}-abcdef01",
                "status": "Completed",
                "value": value,
                "seconds": 90.0,
                "hyperparameters": {"learning_rate": "0.05", "optimizer": "sgd"},
            }
            for number, value in ((1, 0.5), (2, 0.75))
        ],
    }


def test_more_trials_than_a_page(tuned: Tuned, stubber):
    summaries = [_summary(number, number / 1000) for number in range(1, 251)]
    tuned(_description(summaries[-1]), summaries[:100], summaries[100:200], summaries[200:])
    assert _list()["count"] == 250
    stubber.assert_no_pending_responses()
    names = [trial["name"] for trial in _written()["trials"]]
    assert names == [summary["TrainingJobName"] for summary in summaries]


def test_trials_stand_in_order_of_creation_and_then_of_name(tuned: Tuned):
    late, early, twin = _summary(1), _summary(2, CreationTime=START), _summary(3, CreationTime=START)
    tuned(_description(late), [late, twin, early])
    _list()
    assert [trial["name"][-12:-9] for trial in _written()["trials"]] == ["002", "003", "001"]


def test_trials_that_failed_or_never_started(tuned: Tuned):
    failed = _summary(2, None, "Failed", FailureReason="AlgorithmError: NaN", TrainingStartTime=None)
    stopped = _summary(3, None, "Stopped", TrainingEndTime=None)
    nan = _summary(4, float("nan"))
    tuned(_description(_summary(1)), [_summary(1), failed, stopped, nan])
    assert _list()["count"] == 4
    trials = _written()["trials"]
    assert [trial["status"] for trial in trials] == ["Completed", "Failed", "Stopped", "Completed"]
    assert [trial["value"] for trial in trials] == [0.5, None, None, None]
    assert [trial["seconds"] for trial in trials] == [90.0, None, None, 90.0]


def test_the_best_is_of_this_job_and_not_of_a_parent(tuned: Tuned):
    parent = _summary(9, 0.99)
    tuned(_description(_summary(1), OverallBestTrainingJob=parent), [_summary(1)])
    assert _list()["best_training_job"] == f"{JOB}-001-abcdef01"


@pytest.mark.parametrize(
    ("summaries", "statuses"),
    [([], "none was started"), ([_summary(1, None, "Failed"), _summary(2, None, "Stopped")], "Failed, Stopped")],
)
def test_no_trial_succeeded(tuned: Tuned, summaries, statuses):
    tuned(_description(None), summaries)
    with pytest.raises(ValueError, match=rf"tuning job {JOB} has no best trial.*\({statuses}\)") as caught:
        _list()
    assert "\n" not in str(caught.value)


def test_a_tuning_job_that_does_not_exist(stubber):
    stubber.add_client_error("describe_hyper_parameter_tuning_job", "ResourceNotFound", "not found")
    with pytest.raises(ValueError, match=f"tuning job {JOB} does not exist: run the pipeline from its Tune"):
        _list()


def test_an_error_of_the_service_stays_itself(stubber):
    stubber.add_client_error("describe_hyper_parameter_tuning_job", "ThrottlingException", "slow down")
    with pytest.raises(ClientError):
        _list()


@pytest.mark.parametrize("uri", ["", "executions/one", "s3://bucket", "s3://bucket/", "https://bucket/x"])
def test_a_malformed_output(stubber, uri):
    with pytest.raises(ValueError, match="is no S3 folder: write it as s3://bucket/prefix"):
        _list(uri=uri)


def test_writing_again_gives_the_same_file(tuned: Tuned):
    tuned(_description(_summary(1)), [_summary(1)])
    _list()
    first = _written()
    tuned(_description(_summary(1)), [_summary(1)])
    _list()
    assert _written() == first


def test_the_log_is_one_json_line(tuned: Tuned, capsys):
    tuned(_description(_summary(1)), [_summary(1)])
    _list()
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["best_value"] == 0.5
