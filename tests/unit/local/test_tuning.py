"""Tuning steps: real training jobs, proposed by a search, with their results where boto3 finds them."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from small_pipeline import BUCKET, Laboratory, Recorder, Result, get, join, processing, ranges, tuning

from local.executor import tuning as tuning_module
from local.executor.definition import Step

READ = "given = json.loads((root / 'input/config/hyperparameters.json').read_text())\n"
# The nearer x is to 0.3, the better; the last line repeats the best epoch, as our trainer's does.
SCORES = READ + (
    "x = float(given['x'])\n"
    "score = 1 - abs(x - 0.3)\n"
    "print(f'Epoch[0] score={score / 2}'); print(f'Epoch[1] score={score}'); print(f'Best: Epoch[1] score={score}')\n"
    "(root / 'model/weights').write_text(given['x'])\n"
)
X = ranges(continuous={"x": (0.0, 1.0)})


@pytest.fixture
def data(laboratory: Laboratory) -> str:
    return laboratory.put("in/a.txt").removesuffix("/a.txt")


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning_module, "available_cores", lambda: 2)


def described(laboratory: Laboratory, result: Result) -> dict[str, Any]:
    name = f"{result.record.id}-Tune-"
    sagemaker = laboratory.account.client("sagemaker")
    [job] = [
        job
        for job in sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
        if job["HyperParameterTuningJobName"].startswith(name)
    ]
    answer: dict[str, Any] = sagemaker.describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=job["HyperParameterTuningJobName"]
    )
    return answer


def trials(laboratory: Laboratory, result: Result, **query: str) -> list[dict[str, Any]]:
    answer = laboratory.account.client("sagemaker").list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=described(laboratory, result)["HyperParameterTuningJobName"], **query
    )
    listed: list[dict[str, Any]] = answer["TrainingJobSummaries"]
    return listed


def values(laboratory: Laboratory, result: Result) -> list[dict[str, str]]:
    return [trial["TunedHyperParameters"] for trial in trials(laboratory, result)]


def test_the_best_trial_is_found_and_later_steps_use_it(laboratory: Laboratory, data: str) -> None:
    best = "Steps.Tune.BestTrainingJob"
    artifact = join(
        f"s3://{BUCKET}/executions",
        get("Execution.PipelineExecutionId"),
        "tune",
        get(f"{best}.TrainingJobName"),
        "output/model.tar.gz",
        on="/",
    )
    check = processing(
        "Check",
        "import tarfile; tarfile.open(root / 'processing/input/model/model.tar.gz').extractall(root)\n"
        "print((root / 'weights').read_text(), os.environ['X'], os.environ['TUNING_JOB'], os.environ['FIRST'])",
        inputs={"model": artifact},
        environment={
            "X": get(f"{best}.TunedHyperParameters['x']"),
            "TUNING_JOB": get("Steps.Tune.HyperParameterTuningJobName"),
            "FIRST": get("Steps.Tune.TrainingJobSummaries[0].TrainingJobName"),
        },
    )
    observer = Recorder()
    step = tuning("Tune", SCORES, ranges=X, channels={"train": data}, jobs=4, parallel=2, fixed={"epochs": "2"})
    result = laboratory.run([step, check], observer=observer)
    assert result.record.failure_reason is None
    job = described(laboratory, result)
    listed = trials(laboratory, result)
    assert len(listed) == 4
    winner = min(listed, key=lambda trial: abs(float(trial["TunedHyperParameters"]["x"]) - 0.3))
    found = job["BestTrainingJob"]
    assert found["TrainingJobName"] == winner["TrainingJobName"]
    metric = found["FinalHyperParameterTuningJobObjectiveMetric"]
    x = found["TunedHyperParameters"]["x"]
    assert (metric["Type"], metric["MetricName"]) == ("Maximize", "score")
    assert metric["Value"] == pytest.approx(1 - abs(float(x) - 0.3))
    line = f"{x} {x} {job['HyperParameterTuningJobName']} {found['TrainingJobName']}"
    assert ("Check", line) in observer.lines
    assert len(job["HyperParameterTuningJobName"]) <= 32
    assert job["HyperParameterTuningJobStatus"] == "Completed"
    assert job["TrainingJobStatusCounters"]["Completed"] == 4
    assert job["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    arn = result.step("Tune").metadata["TuningJob"]["Arn"]
    assert arn.endswith(f":hyper-parameter-tuning-job/{job['HyperParameterTuningJobName']}")


def test_every_trial_is_a_training_job_with_files_of_its_own(laboratory: Laboratory, data: str) -> None:
    step = tuning("Tune", SCORES, ranges=X, channels={"train": data}, jobs=2, fixed={"epochs": "2"})
    result = laboratory.run([step])
    assert result.record.failure_reason is None
    job = described(laboratory, result)
    sagemaker = laboratory.account.client("sagemaker")
    for number, trial in enumerate(trials(laboratory, result)):
        name = trial["TrainingJobName"]
        assert re.fullmatch(rf"{job['HyperParameterTuningJobName']}-{number + 1:03}-[0-9a-f]{{8}}", name)
        assert len(name) <= 63
        training_job = sagemaker.describe_training_job(TrainingJobName=name)
        assert training_job["TrainingJobArn"] == trial["TrainingJobArn"]
        assert training_job["TuningJobArn"] == job["HyperParameterTuningJobArn"]
        assert training_job["HyperParameters"] == {"epochs": "2", **trial["TunedHyperParameters"]}
        assert training_job["TrainingJobStatus"] == "Completed"
        [final] = training_job["FinalMetricDataList"]
        assert final["MetricName"] == "score"
        assert final["Value"] == pytest.approx(trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
        assert (result.directory / "steps" / "Tune" / name / "model" / "weights").is_file()
        assert "Best: Epoch[1]" in (result.directory / "logs" / "Tune" / f"{name}.log").read_text()
        assert f"executions/{result.record.id}/tune/{name}/output/model.tar.gz" in set(laboratory.keys())
    log = (result.directory / "logs" / "Tune.log").read_text().splitlines()
    assert [line.split()[:2] for line in log] == [["trial", "1"], ["trial", "2"]]


def test_who_watches_hears_of_every_epoch_once(laboratory: Laboratory, data: str) -> None:
    program = (
        READ + "[print(f'Epoch[{n}] score={s}') for n, s in enumerate((0.5, 0.75))]; print('Best: Epoch[1] score=0.75')"
    )
    observer = Recorder()
    laboratory.run([tuning("Tune", program, ranges=X, channels={"train": data}, jobs=2)], observer=observer)
    assert [line for _, line in observer.lines] == [
        "trial 1 of 2: epoch 0 score 0.500, best 0.500",
        "trial 1 of 2: epoch 1 score 0.750, best 0.750",
        "trial 2 of 2: epoch 0 score 0.500, best 0.750",
        "trial 2 of 2: epoch 1 score 0.750, best 0.750",
    ]


@pytest.mark.parametrize(("strategy", "parallel"), [("Random", 1), ("Random", 2), ("Bayesian", 1), ("Bayesian", 2)])
def test_equal_runs_propose_equal_trials(laboratory: Laboratory, data: str, strategy: str, parallel: int) -> None:
    step = tuning("Tune", SCORES, ranges=X, channels={"train": data}, strategy=strategy, jobs=6, parallel=parallel)
    first, second = (values(laboratory, laboratory.run([step], name=name)) for name in ("one", "two"))
    assert first == second
    step["Arguments"]["HyperParameterTuningJobConfig"]["RandomSeed"] = 8
    assert values(laboratory, laboratory.run([step], name="three")) != first


def test_a_search_by_bayes_comes_near(laboratory: Laboratory, data: str) -> None:
    step = tuning("Tune", SCORES, ranges=X, channels={"train": data}, strategy="Bayesian", jobs=14, parallel=2)
    result = laboratory.run([step])
    best = described(laboratory, result)["BestTrainingJob"]
    assert abs(float(best["TunedHyperParameters"]["x"]) - 0.3) < 0.1


def test_no_more_trials_run_at_once_than_cores_and_each_has_its_share(
    laboratory: Laboratory, data: str, tmp_path: Path
) -> None:
    program = READ + (
        "import time\n"
        "place = pathlib.Path(given['place']); mine = place / str(os.getpid()); mine.touch()\n"
        "time.sleep(0.1); together = len(list(place.iterdir())); mine.unlink()\n"
        "print(os.environ['OMP_NUM_THREADS'], together); print('score=1')\n"
    )
    (tmp_path / "place").mkdir()
    step = tuning(
        "Tune",
        program,
        ranges=X,
        channels={"train": data},
        jobs=4,
        parallel=10,
        fixed={"place": str(tmp_path / "place")},
    )
    result = laboratory.run([step])
    assert result.record.failure_reason is None
    logs = [path.read_text().split() for path in (result.directory / "logs" / "Tune").glob("*.log")]
    assert len(logs) == 4
    assert {threads for threads, _, _ in logs} == {"1"}
    assert max(int(together) for _, together, _ in logs) <= 2


def test_a_grid_tries_every_combination_once(laboratory: Laboratory, data: str) -> None:
    program = READ + "print('score=' + ('1' if given['a'] + given['b'] == 'y2' else '0'))"
    grid = ranges(categorical={"a": ["x", "y"], "b": ["1", "2"]})
    step = tuning("Tune", program, ranges=grid, channels={"train": data}, strategy="Grid", jobs=None, parallel=2)
    result = laboratory.run([step])
    tried = sorted(item["a"] + item["b"] for item in values(laboratory, result))
    assert tried == ["x1", "x2", "y1", "y2"]
    assert described(laboratory, result)["BestTrainingJob"]["TunedHyperParameters"] == {"a": "y", "b": "2"}


def test_failed_trials_do_not_end_the_job(laboratory: Laboratory, data: str) -> None:
    program = SCORES + "(root / 'output/failure').write_text('too far'); sys.exit(0 if x < 0.5 else 1)"
    step = tuning("Tune", program, ranges=X, channels={"train": data}, jobs=6, parallel=2)
    result = laboratory.run([step])
    assert result.record.failure_reason is None
    job = described(laboratory, result)
    failed = [trial for trial in trials(laboratory, result) if float(trial["TunedHyperParameters"]["x"]) >= 0.5]
    assert 0 < len(failed) < 6
    assert {(trial["TrainingJobStatus"], trial["ObjectiveStatus"]) for trial in failed} == {("Failed", "Failed")}
    assert {trial["FailureReason"] for trial in failed} == {"AlgorithmError: too far, exit code: 1"}
    assert job["TrainingJobStatusCounters"]["NonRetryableError"] == len(failed)
    assert float(job["BestTrainingJob"]["TunedHyperParameters"]["x"]) < 0.5


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (
            "(root / 'output/failure').write_text('no memory'); sys.exit(1)",
            "none of the 2 training jobs was completed; the last: AlgorithmError: no memory, exit code: 1",
        ),
        ("print('score=nan')", "no training job printed the objective score: check MetricDefinitions"),
    ],
)
def test_a_job_without_any_result_fails(laboratory: Laboratory, data: str, program: str, reason: str) -> None:
    result = laboratory.run([tuning("Tune", program, ranges=X, channels={"train": data}, jobs=2)])
    assert result.record.failure_reason == f"Step Tune failed: {reason}"
    job = described(laboratory, result)
    assert (job["HyperParameterTuningJobStatus"], job["FailureReason"]) == ("Failed", reason)
    assert "BestTrainingJob" not in job


def test_early_stopping_ends_what_falls_behind(laboratory: Laboratory, data: str) -> None:
    # The first three end by themselves; the fourth is worse than all of them and would wait for ever.
    program = READ + (
        "worse = len([1 for _ in pathlib.Path(given['done']).iterdir()]) >= 3\n"
        "for epoch in range(4):\n"
        "    print(f'Epoch[{epoch}] score={0.1 if worse else 0.9}', flush=True)\n"
        "    if worse and epoch == 2: signal.pause()\n"
        "(pathlib.Path(given['done']) / str(os.getpid())).touch()\n"
    )
    done = laboratory.directory / "done"
    done.mkdir()
    step = tuning(
        "Tune",
        program,
        ranges=X,
        channels={"train": data},
        jobs=4,
        fixed={"done": str(done)},
        TrainingJobEarlyStoppingType="Auto",
    )
    result = laboratory.run([step])
    assert result.record.failure_reason is None
    listed = trials(laboratory, result)
    assert [trial["TrainingJobStatus"] for trial in listed] == ["Completed"] * 3 + ["Stopped"]
    assert listed[3]["ObjectiveStatus"] == "Succeeded"
    assert described(laboratory, result)["TrainingJobStatusCounters"]["Stopped"] == 1


def test_hyperband_gives_few_trials_all_epochs(laboratory: Laboratory, data: str) -> None:
    program = READ + (
        "for epoch in range(9):\n    print(f\"Epoch[{epoch}] score={1 - abs(float(given['x']) - 0.3)}\", flush=True)\n"
    )
    step = tuning(
        "Tune", program, ranges=X, channels={"train": data}, strategy="Hyperband", jobs=12, fixed={"epochs": "9"}
    )
    result = laboratory.run([step])
    assert result.record.failure_reason is None
    statuses = [trial["TrainingJobStatus"] for trial in trials(laboratory, result)]
    assert statuses.count("Stopped") >= 3
    assert statuses.count("Completed") >= 1


@pytest.mark.parametrize(
    ("criteria", "jobs"),
    [
        ({"TargetObjectiveMetricValue": 0.5}, 1),
        ({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}, 4),
    ],
)
def test_completion_criteria(laboratory: Laboratory, data: str, criteria: dict[str, Any], jobs: int) -> None:
    step = tuning(
        "Tune", "print('score=0.5')", ranges=X, channels={"train": data}, jobs=9, TuningJobCompletionCriteria=criteria
    )
    assert len(trials(laboratory, laboratory.run([step]))) == jobs


def test_a_warm_start_knows_what_the_parent_found(laboratory: Laboratory, data: str) -> None:
    fixed: dict[str, Any] = {"strategy": "Bayesian", "channels": {"train": data}}
    parent = laboratory.run([tuning("Tune", SCORES, ranges=X, jobs=8, parallel=2, **fixed)], name="one")
    name = described(laboratory, parent)["HyperParameterTuningJobName"]
    child = laboratory.run([tuning("Tune", SCORES, ranges=X, jobs=3, warm_start=[name], **fixed)], name="two")
    cold = laboratory.run([tuning("Tune", SCORES, ranges=X, jobs=3, **fixed)], name="three")
    assert "8 of 8 earlier trials" in (child.directory / "logs" / "Tune.log").read_text()
    assert values(laboratory, child) != values(laboratory, cold)
    narrow = ranges(continuous={"x": (0.0, 0.5)})
    other = laboratory.run([tuning("Tune", SCORES, ranges=narrow, jobs=1, warm_start=[name], **fixed)], name="four")
    within = sum(float(item["x"]) <= 0.5 for item in values(laboratory, parent))
    assert f"{within} of 8 earlier trials" in (other.directory / "logs" / "Tune.log").read_text()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"warm_start": ["nobody-knows-it"]}, "warm start: the account knows no tuning job nobody-knows-it"),
        ({"strategy": "Hyperband"}, "Hyperband needs MaxResource, or the hyperparameter epochs"),
        (
            {"strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"},
            "set TrainingJobEarlyStoppingType to Off",
        ),
        ({"strategy": "Grid"}, "Grid takes categorical ranges only, and x is continuous"),
        ({"jobs": None}, "strategy Random needs MaxNumberOfTrainingJobs"),
        ({"ranges": ranges()}, "ParameterRanges is empty"),
        (
            {"ranges": ranges(categorical={"a": ["1", "2"]}), "strategy": "Grid", "jobs": 3},
            "Grid tries all 2 combinations: set MaxNumberOfTrainingJobs to 2 or leave it out, not 3",
        ),
    ],
)
def test_what_cannot_be_searched(laboratory: Laboratory, data: str, changes: dict[str, Any], reason: str) -> None:
    arguments: dict[str, Any] = {"ranges": X, "channels": {"train": data}} | changes
    result = laboratory.run([tuning("Tune", SCORES, **arguments)])
    assert reason in str(result.record.failure_reason)
    assert trials(laboratory, result) == []
    assert described(laboratory, result)["HyperParameterTuningJobStatus"] == "Failed"


def test_several_definitions_are_refused(laboratory: Laboratory, data: str) -> None:
    step = tuning("Tune", SCORES, ranges=X, channels={"train": data})
    arguments = step["Arguments"]
    arguments["TrainingJobDefinitions"] = [arguments.pop("TrainingJobDefinition")]
    assert "TrainingJobDefinitions is not carried out here" in str(laboratory.run([step]).record.failure_reason)


def test_ctrl_c_stops_every_trial(laboratory: Laboratory, data: str) -> None:
    waiting: list[str] = []

    def interrupt(step: Step, line: str) -> None:
        waiting.append(line)
        if len(waiting) == 2:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    program = "print('Epoch[0] score=1', flush=True); signal.pause()"
    step = tuning("Tune", program, ranges=X, channels={"train": data}, jobs=5, parallel=2)
    result = laboratory.run([step], observer=Recorder(on_line=interrupt))
    assert result.record.status == "Stopped"
    assert {step.name: step.status for step in result.record.steps} == {"Tune": "Stopped"}
    assert described(laboratory, result)["HyperParameterTuningJobStatus"] == "Stopped"
    assert [trial["TrainingJobStatus"] for trial in trials(laboratory, result)] == ["Stopped", "Stopped"]


def test_a_tuning_job_is_stopped_through_the_service(laboratory: Laboratory, data: str) -> None:
    sagemaker = laboratory.account.client("sagemaker")

    def stop(step: Step, line: str) -> None:
        [job] = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
        sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=job["HyperParameterTuningJobName"])

    program = "print('Epoch[0] score=1', flush=True); signal.pause()"
    step = tuning("Tune", program, ranges=X, channels={"train": data}, jobs=5)
    result = laboratory.run([step], observer=Recorder(on_line=stop))
    assert re.search(r"Step Tune failed: tuning job \S+ was stopped", str(result.record.failure_reason))
    assert described(laboratory, result)["HyperParameterTuningJobStatus"] == "Stopped"


def test_trials_are_listed_in_any_order(laboratory: Laboratory, data: str) -> None:
    result = laboratory.run([tuning("Tune", SCORES, ranges=X, channels={"train": data}, jobs=4, parallel=2)])
    by_value = trials(laboratory, result, SortBy="FinalObjectiveMetricValue", SortOrder="Descending")
    scores = [trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] for trial in by_value]
    assert scores == sorted(scores, reverse=True)
    assert trials(laboratory, result, SortOrder="Descending") == trials(laboratory, result)[::-1]
    assert trials(laboratory, result, StatusEquals="Failed") == []
    paginator = laboratory.account.client("sagemaker").get_paginator(
        "list_training_jobs_for_hyper_parameter_tuning_job"
    )
    pages = paginator.paginate(
        HyperParameterTuningJobName=described(laboratory, result)["HyperParameterTuningJobName"], MaxResults=3
    )
    assert [len(page["TrainingJobSummaries"]) for page in pages] == [3, 1]
