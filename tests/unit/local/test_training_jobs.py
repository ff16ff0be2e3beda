"""Training jobs in full: several instances, checkpoints, metrics, channels, profiler settings, further output."""

from __future__ import annotations

import json
import signal
import tarfile
import threading
from io import BytesIO
from typing import Any

import pytest
from small_pipeline import BUCKET, Laboratory, Recorder, Result, below_execution, training

from local.errors import LocalRunError
from local.executor.definition import Step
from local.executor.metrics import MetricReader

CONFIG = "config = json.loads((root / 'input/config/resourceconfig.json').read_text())\n"
METRICS = [{"Name": "validation:accuracy", "Regex": r"Validation-accuracy=([0-9.]+)"}]


@pytest.fixture
def data(laboratory: Laboratory) -> str:
    return laboratory.put("in/a.txt").removesuffix("/a.txt")


def fit(program: str, data: str, **arguments: Any) -> dict[str, Any]:
    step = training("Fit", program, hyperparameters={"epochs": "2"}, channels={"train": data})
    for name, value in arguments.items():
        if isinstance(value, dict) and isinstance(step["Arguments"].get(name), dict):
            step["Arguments"][name] |= value
        else:
            step["Arguments"][name] = value
    return step


def job(laboratory: Laboratory, result: Result) -> dict[str, Any]:
    sagemaker = laboratory.account.client("sagemaker")
    [item] = [
        item
        for item in sagemaker.list_training_jobs()["TrainingJobSummaries"]
        if result.record.id in item["TrainingJobName"]
    ]
    described: dict[str, Any] = sagemaker.describe_training_job(TrainingJobName=item["TrainingJobName"])
    return described


def archive(laboratory: Laboratory, result: Result, name: str) -> dict[str, str]:
    """The files of one of the job's archives."""
    [key] = [key for key in set(laboratory.keys()) if key.endswith(f"output/{name}") and result.record.id in key]
    body = laboratory.account.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    with tarfile.open(fileobj=BytesIO(body)) as opened:
        return {member.name: opened.extractfile(member).read().decode() for member in opened}  # type: ignore[union-attr]


def test_instances_run_at_once_and_reach_each_other(laboratory: Laboratory, data: str) -> None:
    # Each waits for a connection from the next: one that is not started yet would let the first wait for ever.
    program = CONFIG + (
        "import socket\n"
        "me, hosts = config['current_host'], config['hosts']\n"
        "server = socket.create_server((me, 19277)); other = hosts[(hosts.index(me) + 1) % len(hosts)]\n"
        "while True:\n"
        "    try: client = socket.create_connection((other, 19277)); break\n"
        "    except ConnectionRefusedError: pass\n"
        "server.accept()\n"
        "print('met', other, os.environ['OMP_NUM_THREADS'])\n"
        "print(f'Epoch[0] Validation-accuracy={0.5 if me == hosts[0] else 0.1}')\n"
        "if me == hosts[0]: (root / 'model/weights').write_text(' '.join(hosts))\n"
    )
    specification = {"MetricDefinitions": METRICS}
    observer = Recorder()
    step = fit(program, data, ResourceConfig={"InstanceCount": 3}, AlgorithmSpecification=specification)
    result = laboratory.run([step], observer=observer)
    assert result.record.failure_reason is None
    assert archive(laboratory, result, "model.tar.gz") == {"weights": "127.0.0.1 127.0.0.2 127.0.0.3"}
    assert {line for _, line in observer.lines if "met" in line} == {
        "algo-1: met 127.0.0.2 1",
        "algo-2: met 127.0.0.3 1",
        "algo-3: met 127.0.0.1 1",
    }
    for host in ("algo-1", "algo-2", "algo-3"):
        assert (result.directory / "steps" / "Fit" / host / "model").is_dir()
        assert "met 127.0.0" in (result.directory / "logs" / "Fit" / f"{host}.log").read_text()
    [final] = job(laboratory, result)["FinalMetricDataList"]
    assert final["Value"] == 0.5


def test_one_failed_instance_ends_the_others(laboratory: Laboratory, data: str) -> None:
    program = CONFIG + (
        "if config['current_host'] != config['hosts'][1]: signal.pause()\n"
        "(root / 'output/failure').write_text('no room'); sys.exit(1)\n"
    )
    result = laboratory.run([fit(program, data, ResourceConfig={"InstanceCount": 2})])
    reason = "AlgorithmError: no room, exit code: 1 (instance algo-2 of 2)"
    assert result.step("Fit").failure_reason == reason
    assert job(laboratory, result)["FailureReason"] == reason


def test_two_instances_that_write_one_file_are_named(laboratory: Laboratory, data: str) -> None:
    program = "(root / 'model/weights').write_text('mine')"
    result = laboratory.run([fit(program, data, ResourceConfig={"InstanceCount": 2})])
    assert "two instances wrote model/weights: let the first host alone write it" in str(result.record.failure_reason)


def test_several_instances_need_plain_processes(laboratory: Laboratory, data: str) -> None:
    laboratory.runtime.name = "docker"
    result = laboratory.run([fit("", data, ResourceConfig={"InstanceCount": 2})])
    assert "use --runtime process, or one instance" in str(result.record.failure_reason)


CHECKPOINTS = (
    "place = root / 'checkpoints'\n"
    "earlier = sorted(path.name for path in place.iterdir())\n"
    "print('earlier', *earlier, flush=True)\n"
    "(place / f'epoch-{len(earlier)}').write_text('x')\n"
)


@pytest.mark.parametrize("failing", [True, False])
def test_checkpoints_are_brought_and_kept(laboratory: Laboratory, data: str, failing: bool) -> None:
    config = {"S3Uri": f"s3://{BUCKET}/checkpoints/job"}
    laboratory.put("checkpoints/job-of-another/epoch-9")
    seen = []
    for name in ("one", "two"):
        observer = Recorder()
        step = fit(CHECKPOINTS + f"sys.exit({int(failing)})", data, CheckpointConfig=config)
        step["Arguments"]["EnableManagedSpotTraining"] = True
        step["Arguments"]["StoppingCondition"]["MaxWaitTimeInSeconds"] = 7200
        result = laboratory.run([step], name=name, observer=observer)
        assert (result.record.status == "Failed") is failing
        described = job(laboratory, result)
        assert described["EnableManagedSpotTraining"] is True
        assert described["CheckpointConfig"] == config
        seen += [line for _, line in observer.lines]
    assert seen == ["earlier", "earlier epoch-0"]
    kept = sorted(key for key in set(laboratory.keys()) if key.startswith("checkpoints/job/"))
    assert kept == ["checkpoints/job/epoch-0", "checkpoints/job/epoch-1"]


def test_checkpoints_outlive_ctrl_c(laboratory: Laboratory, data: str) -> None:
    def interrupt(step: Step, line: str) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    program = "(root / 'checkpoints/epoch-0').write_text('x'); print('saved', flush=True); signal.pause()"
    step = fit(program, data, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints/job/"})
    result = laboratory.run([step], observer=Recorder(on_line=interrupt))
    assert result.record.status == "Stopped"
    assert "checkpoints/job/epoch-0" in set(laboratory.keys())
    assert job(laboratory, result)["TrainingJobStatus"] == "Stopped"


def test_without_a_checkpoint_configuration_there_is_no_directory(laboratory: Laboratory, data: str) -> None:
    result = laboratory.run([fit("sys.exit((root / 'checkpoints').exists())", data)])
    assert result.record.failure_reason is None


def test_metrics_are_read_from_the_log(laboratory: Laboratory, data: str) -> None:
    program = (
        "[print(f'Epoch[{n}] Validation-accuracy={v}') for n, v in enumerate((0.5, 0.75, 0.25))]\n"
        "print('Best: Epoch[1] Validation-accuracy=0.75')\n"
    )
    result = laboratory.run([fit(program, data, AlgorithmSpecification={"MetricDefinitions": METRICS})])
    described = job(laboratory, result)
    assert described["AlgorithmSpecification"]["MetricDefinitions"] == METRICS
    [final] = described["FinalMetricDataList"]
    assert (final["MetricName"], final["Value"]) == ("validation:accuracy", 0.75)
    written = json.loads((result.directory / "logs" / "Fit.metrics.json").read_text())
    assert written["final"] == {"validation:accuracy": 0.75}
    assert [(item["epoch"], item["value"]) for item in written["series"]["validation:accuracy"]] == [
        (0, 0.5),
        (1, 0.75),
        (2, 0.25),
    ]
    assert written["hyperparameters"] == {"epochs": "2"}


def test_a_reader_of_metrics() -> None:
    reader = MetricReader([{"Name": "loss", "Regex": "loss=(.*)"}, {"Name": "other", "Regex": "other=([0-9]+)"}])
    for line in ("loss=3", "noise", "loss=nan", "loss=1e-1", "loss=lots"):
        reader.hear(line)
    assert (reader.final, reader.series) == ({"loss": 0.1}, {"loss": {0: 3.0, 1: 0.1}})


@pytest.mark.parametrize(
    ("regex", "message"),
    [("loss=([", "is not a regular expression"), ("loss=.*", "has no group: put the value in parentheses")],
)
def test_metric_definitions_that_find_nothing(regex: str, message: str) -> None:
    with pytest.raises(LocalRunError, match="metric loss: ") as raised:
        MetricReader([{"Name": "loss", "Regex": regex}])
    assert message in str(raised.value)


def test_channels_of_image_files(laboratory: Laboratory) -> None:
    laboratory.put("images/cat/1.jpg")
    laboratory.put("lists/train.lst", "0\t0\tcat/1.jpg\n")
    program = (
        "config = json.loads((root / 'input/config/inputdataconfig.json').read_text())\n"
        "print(config['train']['ContentType'], config['train']['TrainingInputMode'], sorted(config))\n"
        "place = root / 'input/data'; image = place / 'train/cat/1.jpg'\n"
        "print(image.read_text(), (place / 'train_lst/train.lst').stat().st_size)\n"
        "print(oct(image.stat().st_mode & 0o777))\n"
    )
    step = training(
        "Fit",
        program,
        hyperparameters={},
        channels={"train": f"s3://{BUCKET}/images", "train_lst": f"s3://{BUCKET}/lists"},
    )
    for channel in step["Arguments"]["InputDataConfig"]:
        channel |= {"ContentType": "application/x-image", "InputMode": "FastFile"}
    observer = Recorder()
    result = laboratory.run([step], observer=observer)
    assert result.record.failure_reason is None
    lines = [line for _, line in observer.lines]
    assert lines[:2] == ["application/x-image FastFile ['train', 'train_lst']", "x 14"]
    assert lines[2] == "0o444"
    assert not (result.directory / "steps" / "Fit" / "input" / "data").exists()


@pytest.mark.parametrize(
    ("source", "channel", "message"),
    [
        ({"S3DataType": "AugmentedManifestFile"}, {}, "channel train: a AugmentedManifestFile is not read"),
        ({"S3DataType": "ManifestFile"}, {}, "channel train: a ManifestFile is not read by a local run: use S3Prefix"),
        ({}, {"InputMode": "Pipe"}, "channel train: input mode Pipe is not run here: use File or FastFile"),
    ],
)
def test_channels_that_are_not_brought(
    laboratory: Laboratory, data: str, source: dict[str, str], channel: dict[str, str], message: str
) -> None:
    step = fit("", data)
    item = step["Arguments"]["InputDataConfig"][0]
    item |= channel
    item["DataSource"]["S3DataSource"] |= source
    assert message in str(laboratory.run([step]).record.failure_reason)


def test_profiler_settings_are_recorded_and_its_rules_named_as_not_run(laboratory: Laboratory, data: str) -> None:
    rules = [{"RuleConfigurationName": "LowGPUUtilization", "RuleEvaluatorImage": "image:1"}]
    profiler = {"S3OutputPath": f"s3://{BUCKET}/profiler", "ProfilingIntervalInMilliseconds": 500}
    result = laboratory.run([fit("print('on')", data, ProfilerConfig=profiler, ProfilerRuleConfigurations=rules)])
    described = job(laboratory, result)
    assert (described["ProfilerConfig"], described["ProfilerRuleConfigurations"]) == (profiler, rules)
    log = (result.directory / "logs" / "Fit.log").read_text()
    assert log == "imgpipe: the service's own rules are not run here: LowGPUUtilization\non\n"


def test_further_output_is_kept_where_there_is_some(laboratory: Laboratory, data: str) -> None:
    result = laboratory.run([fit("(root / 'output/data/curve.csv').write_text('1,2')", data)])
    assert archive(laboratory, result, "output.tar.gz") == {"curve.csv": "1,2"}
    empty = laboratory.run([fit("", data)], name="two")
    assert not [key for key in set(laboratory.keys()) if empty.record.id in key and key.endswith("output.tar.gz")]


def test_sharded_channels_are_dealt_out(laboratory: Laboratory) -> None:
    for number in range(4):
        laboratory.put(f"parts/{number}")
    program = CONFIG + "print(*sorted(path.name for path in (root / 'input/data/train').iterdir()))\n"
    step = fit(program, f"s3://{BUCKET}/parts/", ResourceConfig={"InstanceCount": 2})
    step["Arguments"]["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    observer = Recorder()
    laboratory.run([step], observer=observer)
    assert sorted(line for _, line in observer.lines) == ["algo-1: 0 2", "algo-2: 1 3"]


def test_checkpoints_lie_below_the_execution(laboratory: Laboratory, data: str) -> None:
    step = fit(CHECKPOINTS, data, CheckpointConfig={"S3Uri": below_execution("checkpoints")})
    result = laboratory.run([step])
    assert f"executions/{result.record.id}/checkpoints/epoch-0" in set(laboratory.keys())
