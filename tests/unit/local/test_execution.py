"""Executions of small real definitions: containers as processes, states where boto3 finds them."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from small_pipeline import (
    BUCKET,
    Laboratory,
    Recorder,
    condition,
    fail,
    get,
    join,
    json_get,
    output_uri,
    processing,
    training,
    writing,
)

from local.assembly import ImageAsset
from local.executor.definition import Step
from local.executor.records import StepRecord
from local.executor.tools import Tools

FACTS = '{"classes": 3, "metrics": {"accuracy": {"value": 0.5}}}'


def passes(step: str, threshold: float) -> dict[str, Any]:
    value = json_get(step, "Facts", "metrics.accuracy.value")
    return {"Type": "GreaterThanOrEqualTo", "LeftValue": value, "RightValue": threshold}


def gone(pid: int) -> bool:
    """Whether a process has ended; the kernel may take a moment after the signal."""
    for _ in range(500):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


def test_data_flows_from_step_to_step_and_states_are_seen_through_boto3(laboratory: Laboratory) -> None:
    pack = writing("Pack", "facts/facts.json", FACTS, files={"Facts": "facts/facts.json"})
    train = training(
        "Train",
        "config = json.loads((root / 'input/config/hyperparameters.json').read_text())\n"
        "channels = json.loads((root / 'input/config/inputdataconfig.json').read_text())\n"
        "assert (root / 'input/data/train/facts.json').is_file(), channels\n"
        "(root / 'model/weights').write_text(config['num_classes'] + channels['train']['TrainingInputMode'])",
        hyperparameters={"num_classes": join(json_get("Pack", "Facts", "classes"))},
        channels={"train": output_uri("Pack", "facts")},
    )
    check = processing(
        "Check",
        "import tarfile; tarfile.open(root / 'processing/input/model/model.tar.gz').extractall(root)\n"
        "print((root / 'weights').read_text())",
        inputs={"model": get("Steps.Train.ModelArtifacts.S3ModelArtifacts")},
    )
    observer = Recorder()
    result = laboratory.run([check, train, pack], observer=observer)

    assert (result.record.status, result.record.failure_reason) == ("Succeeded", None)
    assert result.names() == ["Pack", "Train", "Check"]
    assert observer.lines == [("Check", "3File")]
    assert (result.directory / "logs" / "Check.log").read_text() == "3File\n"
    sagemaker = laboratory.account.client("sagemaker")
    arn = result.record.arn
    assert re.fullmatch(r"arn:aws:sagemaker:us-east-1:123456789012:pipeline/pipe/execution/[a-z0-9]{12}", arn)
    described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    assert described["PipelineExecutionStatus"] == "Succeeded"
    assert "FailureReason" not in described
    listed = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=arn)["PipelineExecutionSteps"]
    assert [(step["StepName"], step["StepStatus"]) for step in listed] == [
        (name, "Succeeded") for name in ("Check", "Train", "Pack")
    ]
    job_arn = listed[1]["Metadata"]["TrainingJob"]["Arn"]
    job = sagemaker.describe_training_job(TrainingJobName=job_arn.rsplit("/", 1)[-1])
    assert job["TrainingJobName"].startswith(f"pipelines-{result.record.id}-Train-")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    assert job["HyperParameters"] == {"num_classes": "3"}
    assert job["TrainingEndTime"] >= job["CreationTime"]
    assert "FailureReason" not in job
    assert "MetricDefinitions" not in job["AlgorithmSpecification"]
    name = listed[2]["Metadata"]["ProcessingJob"]["Arn"].rsplit("/", 1)[-1]
    packed = sagemaker.describe_processing_job(ProcessingJobName=name)
    assert packed["ProcessingJobStatus"] == "Completed"
    assert packed["ProcessingResources"]["ClusterConfig"]["InstanceType"] == "ml.m5.large"


def test_inputs_are_dropped_after_success_and_kept_after_failure(laboratory: Laboratory) -> None:
    data = laboratory.put("in/a.txt").removesuffix("/a.txt")
    result = laboratory.run(
        [
            processing("Good", inputs={"data": data}),
            training("Fit", "", hyperparameters={}, channels={"train": data}),
            processing("Bad", "sys.exit(3)", inputs={"data": data}, DependsOn=["Good", "Fit"]),
        ]
    )
    steps = result.directory / "steps"
    assert not (steps / "Good/processing/input/data").exists()
    assert not (steps / "Fit/input/data").exists()
    assert (steps / "Bad/processing/input/data/a.txt").read_text() == "x"


def test_independent_steps_overlap_and_dependent_ones_do_not(laboratory: Laboratory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # opening it waits for the other side: apart from each other both would hang
    place = {"FIFO": str(tmp_path / "fifo")}
    observer = Recorder()
    result = laboratory.run(
        [
            processing("Writes", "open(os.environ['FIFO'], 'w').write('met')", environment=place),
            processing("Reads", "print(open(os.environ['FIFO']).read())", environment=place),
            processing("After", "print('after')", DependsOn=["Writes", "Reads"]),
        ],
        observer=observer,
    )
    assert result.record.status == "Succeeded"
    assert observer.lines == [("Reads", "met"), ("After", "after")]
    assert observer.events[-2:] == [("started", "After"), ("Succeeded", "After")]


@pytest.mark.parametrize("limit", [1, 2])
def test_no_more_steps_run_at_once_than_allowed(laboratory: Laboratory, limit: int) -> None:
    observer = Recorder()
    result = laboratory.run([processing(name) for name in "ABCD"], max_parallel_steps=limit, observer=observer)
    assert result.record.status == "Succeeded"
    assert observer.most_at_once() == limit


@pytest.mark.parametrize(("threshold", "taken"), [(0.4, "Yes"), (0.6, "No")])
def test_a_condition_takes_one_branch(laboratory: Laboratory, threshold: float, taken: str) -> None:
    pack = writing("Pack", "facts/facts.json", FACTS, files={"Facts": "facts/facts.json"})
    gate = condition("Gate", [passes("Pack", threshold)], then=[processing("Yes")], otherwise=[processing("No")])
    result = laboratory.run([gate, pack])
    assert result.record.status == "Succeeded"
    assert result.names() == ["Pack", "Gate", taken]
    assert result.step("Gate").metadata == {"Condition": {"Outcome": "True" if taken == "Yes" else "False"}}


def test_a_fail_step_ends_the_execution_with_its_message(laboratory: Laboratory) -> None:
    pack = writing("Pack", "facts/facts.json", FACTS, files={"Facts": "facts/facts.json"})
    message = join(
        "accuracy", json_get("Pack", "Facts", "metrics.accuracy.value"), "below", get("Parameters.T"), on=" "
    )
    gate = condition("Gate", [passes("Pack", 0.9)], then=[], otherwise=[fail("Below", message)])
    result = laboratory.run([pack, gate], parameters=[{"Name": "T", "Type": "Float", "DefaultValue": 0.9}])
    assert result.record.status == "Failed"
    assert result.record.failure_reason == "Step Below failed: accuracy 0.5 below 0.9"
    described = laboratory.account.client("sagemaker").describe_pipeline_execution(
        PipelineExecutionArn=result.record.arn
    )
    assert described["FailureReason"] == result.record.failure_reason


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("sys.exit(3)", "AlgorithmError: the container left no message, exit code: 3"),
        (
            "(root / 'output/message').write_text('no\\nimages'); sys.exit(3)",
            "AlgorithmError: no images, exit code: 3",
        ),
        (
            "(root / 'output/message').write_text('disk full while writing train.rec'); sys.exit(1)",
            "AlgorithmError: disk full while writing train.rec, exit code: 1",
        ),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            "AlgorithmError: the container was killed by SIGKILL (out of memory?), exit code: 137",
        ),
        (
            "(root / 'output/message').write_text('half done'); os.kill(os.getpid(), signal.SIGSEGV)",
            "AlgorithmError: the container was killed by SIGSEGV: half done, exit code: 139",
        ),
    ],
)
def test_a_container_that_fails(laboratory: Laboratory, program: str, reason: str) -> None:
    result = laboratory.run([processing("Work", program, outputs=("o",)), processing("Next", DependsOn=["Work"])])
    assert result.record.failure_reason == f"Step Work failed: {reason}"
    assert result.names() == ["Work"]
    assert laboratory.keys() == []  # nothing of a failed step is stored
    sagemaker = laboratory.account.client("sagemaker")
    [job] = sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    described = sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"])
    assert (described["ProcessingJobStatus"], described["FailureReason"]) == ("Failed", reason)
    assert ("ExitMessage" in described) == ("write_text" in program)


def test_a_trainer_that_fails(laboratory: Laboratory) -> None:
    data = laboratory.put("in/a.txt")
    program = "(root / 'output/failure').write_text('learning rate too high'); sys.exit(1)"
    result = laboratory.run([training("Fit", program, hyperparameters={"a": "1"}, channels={"train": data})])
    assert result.step("Fit").failure_reason == "AlgorithmError: learning rate too high, exit code: 1"
    sagemaker = laboratory.account.client("sagemaker")
    [job] = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    described = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
    assert (described["TrainingJobStatus"], described["SecondaryStatus"]) == ("Failed", "Failed")


def test_a_failure_lets_running_steps_end_and_starts_no_other(laboratory: Laboratory, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    class LetsSlowGoAfterBad(Recorder):
        def step_ended(self, record: StepRecord) -> None:
            super().step_ended(record)
            if record.name == "Bad":
                fifo.write_text("go")

    result = laboratory.run(
        [
            processing("Slow", "print(open(os.environ['FIFO']).read())", environment={"FIFO": str(fifo)}),
            processing("Bad", "sys.exit(3)"),
            processing("Never", DependsOn=["Slow"]),
            processing("Waits", DependsOn=["Bad"]),
        ],
        observer=LetsSlowGoAfterBad(),
    )
    assert {step.name: step.status for step in result.record.steps} == {"Slow": "Succeeded", "Bad": "Failed"}
    assert result.record.status == "Failed"


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (
            training("Fit", "", hyperparameters={"epochs": 3}, channels={"train": f"s3://{BUCKET}/in"}),
            "HyperParameters.epochs.*valid types: <class 'str'>",
        ),
        (processing("Empty", inputs={"data": f"s3://{BUCKET}/nothing/"}), "s3://artifacts/nothing/ holds no object"),
        (processing("Where", inputs={"data": "s3://other-bucket/x"}), "bucket other-bucket does not exist"),
        (processing("What", inputs={"data": "/a/folder"}), "is not an S3 URI|validation"),
        (
            processing("Reads", environment={"N": join(json_get("Pack", "Facts", "n"))}),
            "facts.json does not exist: the step that should have written it did not",
        ),
        (processing("Typo", environment={"N": get("Parameters.Nothing")}), "Parameters.Nothing refers to nothing"),
    ],
)
def test_steps_that_cannot_be_carried_out(laboratory: Laboratory, step: dict[str, Any], reason: str) -> None:
    pack = processing("Pack", outputs=("facts",), files={"Facts": "facts/facts.json"})
    result = laboratory.run([pack, step])
    assert result.record.status == "Failed"
    failure = result.step(step["Name"]).failure_reason
    assert failure is not None
    assert re.search(reason, failure), failure
    assert "\n" not in failure


def test_a_local_path_outside_the_shared_root_is_refused(laboratory: Laboratory) -> None:
    step = processing("Out", inputs={"data": laboratory.put("a")})
    step["Arguments"]["ProcessingInputs"][0]["S3Input"]["LocalPath"] = "/etc/imgpipe"
    assert "/etc/imgpipe is not below /opt/ml/" in str(laboratory.run([step]).record.failure_reason)


def test_an_unknown_image_is_refused(laboratory: Laboratory) -> None:
    step = processing("Odd")
    step["Arguments"]["AppSpecification"]["ImageUri"] = "docker.io/library/python:3"
    assert "neither an asset of the deployment nor the built-in" in str(laboratory.run([step]).record.failure_reason)


def test_a_bug_of_ours_is_a_failure_with_a_traceback_in_the_log(laboratory: Laboratory) -> None:
    step = processing("Broken")
    del step["PropertyFiles"]
    step["PropertyFiles"] = [{"PropertyFileName": "F", "OutputName": "nowhere", "FilePath": "f"}]
    result = laboratory.run([step])
    assert result.record.failure_reason == "Step Broken failed: internal error: KeyError('nowhere')"
    assert "Traceback" in (result.directory / "logs" / "Broken.log").read_text()
    assert isinstance(result.record.error.__cause__ if result.record.error else None, KeyError)


def test_a_full_disk_is_named(laboratory: Laboratory) -> None:
    class OntoFullDisk(Recorder):
        def step_started(self, step: Step) -> None:
            [directory] = laboratory.directory.glob("*/logs")
            (directory / f"{step.name}.log").symlink_to("/dev/full")

    result = laboratory.run([processing("Work", "print('a line')")], observer=OntoFullDisk())
    assert "Step Work failed: disk full while writing" in str(result.record.failure_reason)
    assert "free some space" in str(result.record.failure_reason)


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_stops_containers_with_all_they_started(laboratory: Laboratory, presses: int) -> None:
    pids: list[int] = []

    def interrupt(step: Step, line: str) -> None:
        pids.extend(map(int, line.split()))
        for _ in range(presses):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    program = (
        "import subprocess; child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "print(os.getpid(), child.pid, flush=True); signal.pause()"
    )
    observer = Recorder(on_line=interrupt)
    result = laboratory.run([processing("Work", program), processing("Next", DependsOn=["Work"])], observer=observer)
    assert result.record.status == "Stopped"
    assert result.record.failure_reason == "stopped by the user"
    assert {step.name: step.status for step in result.record.steps} == {"Work": "Stopped"}
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
    sagemaker = laboratory.account.client("sagemaker")
    assert (
        sagemaker.describe_pipeline_execution(PipelineExecutionArn=result.record.arn)["PipelineExecutionStatus"]
        == "Stopped"
    )
    [job] = sagemaker.list_processing_jobs()["ProcessingJobSummaries"]
    assert job["ProcessingJobStatus"] == "Stopped"


def test_two_executions_share_no_key(laboratory: Laboratory) -> None:
    steps = [writing("Pack", "facts/facts.json", FACTS)]
    first = laboratory.run(steps, name="one")
    second = laboratory.run(steps, name="two")
    assert laboratory.keys() == sorted(
        f"executions/{result.record.id}/pack/facts/facts.json" for result in (first, second)
    )


def test_a_model_is_registered_and_created(laboratory: Laboratory) -> None:
    laboratory.account.client("sagemaker").create_model_package_group(ModelPackageGroupName="group")
    container = {"Image": "image:1", "ModelDataUrl": laboratory.put("model.tar.gz")}
    register = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": "group",
            "ModelApprovalStatus": "PendingManualApproval",
            "InferenceSpecification": {
                "Containers": [container],
                "SupportedContentTypes": ["image/png"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        },
    }
    create = {
        "Name": "Create",
        "Type": "Model",
        "Arguments": {"PrimaryContainer": container, "ExecutionRoleArn": "arn:aws:iam::123456789012:role/execution"},
    }
    result = laboratory.run([register, create])
    assert result.record.status == "Succeeded"
    sagemaker = laboratory.account.client("sagemaker")
    [package] = sagemaker.list_model_packages(ModelPackageGroupName="group")["ModelPackageSummaryList"]
    assert result.step("Register").metadata["RegisterModel"]["Arn"] == package["ModelPackageArn"]
    assert package["ModelPackageVersion"] == 1
    [model] = sagemaker.list_models()["Models"]
    assert model["ModelName"].startswith(f"pipelines-{result.record.id}-Create-")


def test_an_image_for_gpus_and_the_built_in_one_are_stood_in_for(laboratory: Laboratory) -> None:
    asset = laboratory.images[0].directory
    (asset / "mxnet").mkdir()
    (asset / "mxnet" / "Dockerfile").write_text('ENTRYPOINT ["python", "-c"]\n')
    gpu = ImageAsset(directory=asset, dockerfile="mxnet/Dockerfile", tag="gpu", target="gpu")
    cpu = replace(gpu, tag="cpu", target=None)
    tools = Tools(
        account=laboratory.account,
        runtime=laboratory.runtime,
        images=(gpu, cpu),
        directory=laboratory.directory,
        execution_id="abc",
        stop=threading.Event(),
        on_line=lambda step, line: None,
    )
    for uri in ("repository/assets:gpu", "repository/assets:cpu", "811284229777.dkr/image-classification:1"):
        assert tools.image(uri) == cpu
