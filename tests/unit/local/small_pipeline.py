"""Small real pipelines for the executor: containers whose program is a line of Python, in an emulated account."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.assembly import ImageAsset
from local.containers.job import Runtime
from local.containers.process import ProcessRuntime
from local.emulator.account import EmulatedAccount
from local.executor.definition import Definition, Step
from local.executor.execution import Execution
from local.executor.expressions import Scope
from local.executor.records import ExecutionRecord, StepRecord
from local.executor.tools import Tools, create_model_package
from local.pipeline import DeployedPipeline
from local.storage import read_text

Json = dict[str, Any]

IMAGE_URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/assets:fake"
# A tuning job's containers get no arguments: the program of this image stands in its environment.
TUNED_IMAGE_URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/assets:tuned"
ROLE = "arn:aws:iam::123456789012:role/execution"
BUCKET = "artifacts"
# What every program begins with; a program that waits for ever is ended by SIGALRM.
PREAMBLE = "import json, os, pathlib, signal, sys; signal.alarm(60); root = pathlib.Path(os.environ['ML_ROOT'])\n"


def get(reference: str) -> Json:
    return {"Get": reference}


def join(*values: Any, on: str = "") -> Json:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def json_get(step: str, file: str, path: str) -> Json:
    return {"Std:JsonGet": {"PropertyFile": get(f"Steps.{step}.PropertyFiles.{file}"), "Path": path}}


def output_uri(step: str, name: str) -> Json:
    return get(f"Steps.{step}.ProcessingOutputConfig.Outputs['{name}'].S3Output.S3Uri")


def below_execution(*path: str) -> Json:
    return join(f"s3://{BUCKET}/executions", get("Execution.PipelineExecutionId"), *path, on="/")


def processing(
    name: str,
    program: str = "",
    *,
    inputs: Mapping[str, Any] | None = None,
    outputs: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
    environment: Mapping[str, Any] | None = None,
    instances: int = 1,
    distribution: str | None = None,
    **more: Any,
) -> Json:
    """A Processing step; `files` maps a property file's name to `output/path`, `distribution` is of all inputs."""
    return {
        "Name": name,
        "Type": "Processing",
        "Arguments": {
            "ProcessingResources": {
                "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": instances, "VolumeSizeInGB": 10}
            },
            "AppSpecification": {"ImageUri": IMAGE_URI, "ContainerArguments": [PREAMBLE + program]},
            "RoleArn": ROLE,
            "Environment": dict(environment or {}),
            "ProcessingInputs": [
                {
                    "InputName": key,
                    "S3Input": {
                        "S3Uri": uri,
                        "LocalPath": f"/opt/ml/processing/input/{key}",
                        "S3DataType": "S3Prefix",
                        "S3InputMode": "File",
                        **({"S3DataDistributionType": distribution} if distribution else {}),
                    },
                }
                for key, uri in (inputs or {}).items()
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": key,
                        "S3Output": {
                            "S3Uri": below_execution(name.lower(), key),
                            "LocalPath": f"/opt/ml/processing/output/{key}",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                    for key in outputs
                ]
            },
        },
        "PropertyFiles": [
            {"PropertyFileName": key, "OutputName": place.split("/")[0], "FilePath": place.split("/", 1)[1]}
            for key, place in (files or {}).items()
        ],
        **more,
    }


def writing(name: str, output: str, content: str, **more: Any) -> Json:
    """A Processing step that writes one output file, `output/file`."""
    folder, file = output.split("/")
    program = f"(root / 'processing/output/{folder}/{file}').write_text({content!r})"
    return processing(name, program, outputs=(folder,), **more)


def training(name: str, program: str, *, hyperparameters: Mapping[str, Any], channels: Mapping[str, Any]) -> Json:
    return {
        "Name": name,
        "Type": "Training",
        "Arguments": {
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE_URI,
                "TrainingInputMode": "File",
                "ContainerArguments": [PREAMBLE + program],
            },
            "HyperParameters": dict(hyperparameters),
            "InputDataConfig": [
                {
                    "ChannelName": channel,
                    "ContentType": "application/x-recordio",
                    "DataSource": {
                        "S3DataSource": {
                            "S3DataType": "S3Prefix",
                            "S3Uri": uri,
                            "S3DataDistributionType": "FullyReplicated",
                        }
                    },
                }
                for channel, uri in channels.items()
            ],
            "OutputDataConfig": {"S3OutputPath": below_execution(name.lower())},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "RoleArn": ROLE,
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        },
    }


def ranges(
    *,
    integer: Json | None = None,
    continuous: Json | None = None,
    categorical: Json | None = None,
    scaling: str = "Auto",
) -> Json:
    """ParameterRanges; `integer` and `continuous` map a name to (minimum, maximum), `categorical` to values."""

    def numbers(given: Json | None) -> list[Json]:
        return [
            {"Name": name, "MinValue": str(low), "MaxValue": str(high), "ScalingType": scaling}
            for name, (low, high) in (given or {}).items()
        ]

    return {
        "IntegerParameterRanges": numbers(integer),
        "ContinuousParameterRanges": numbers(continuous),
        "CategoricalParameterRanges": [
            {"Name": name, "Values": list(values)} for name, values in (categorical or {}).items()
        ],
    }


def tuning(
    name: str,
    program: str,
    *,
    ranges: Json,
    channels: Mapping[str, Any],
    strategy: str = "Random",
    jobs: int | None = 3,
    parallel: int = 1,
    fixed: Mapping[str, Any] | None = None,
    warm_start: list[str] | None = None,
    **config: Any,
) -> Json:
    """A Tuning step whose training jobs print their objective as `score=...`; `fixed` are static hyperparameters."""
    job = training(name, program, hyperparameters={}, channels=channels)["Arguments"]
    del job["HyperParameters"]
    job["AlgorithmSpecification"] = {
        "TrainingImage": TUNED_IMAGE_URI,
        "TrainingInputMode": "File",
        "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9.e+-]+|nan)"}],
    }
    job["Environment"] = {"PROGRAM": PREAMBLE + program}
    limits = {"MaxParallelTrainingJobs": parallel} | ({} if jobs is None else {"MaxNumberOfTrainingJobs": jobs})
    arguments = {
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": limits,
            "ParameterRanges": ranges,
            "RandomSeed": 7,
            **config,
        },
        "TrainingJobDefinition": job | {"StaticHyperParameters": dict(fixed or {})},
    }
    if warm_start:
        parents = [{"HyperParameterTuningJobName": parent} for parent in warm_start]
        arguments["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": parents,
            "WarmStartType": "IdenticalDataAndAlgorithm",
        }
    return {"Name": name, "Type": "Tuning", "Arguments": arguments}


def condition(name: str, conditions: list[Json], *, then: list[Json], otherwise: list[Json], **more: Any) -> Json:
    arguments = {"Conditions": conditions, "IfSteps": then, "ElseSteps": otherwise}
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **more}


def fail(name: str, message: Any) -> Json:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def definition_text(steps: list[Json], parameters: list[Json] | None = None, experiment: Json | None = None) -> str:
    document: Json = {"Version": "2020-12-01", "Parameters": parameters or [], "Steps": steps}
    return json.dumps(document | ({"PipelineExperimentConfig": experiment} if experiment else {}))


@dataclass
class Recorder:
    """An observer that remembers; `on_line` may react to what a container prints."""

    on_line: Callable[[Step, str], None] = lambda step, line: None
    events: list[tuple[str, str]] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)

    def step_started(self, step: Step) -> None:
        self.events.append(("started", step.name))

    def step_line(self, step: Step, line: str) -> None:
        self.lines.append((step.name, line))
        self.on_line(step, line)

    def step_ended(self, record: StepRecord) -> None:
        self.events.append((record.status, record.name))

    def most_at_once(self) -> int:
        running = most = 0
        for kind, _ in self.events:
            running += 1 if kind == "started" else -1
            most = max(most, running)
        return most


@dataclass(kw_only=True)
class Result:
    """A finished execution, with what describes it."""

    record: ExecutionRecord
    directory: Path
    scope: Scope
    definition: Definition

    def step(self, name: str) -> StepRecord:
        return next(step for step in self.record.steps if step.name == name)

    def names(self) -> list[str]:
        return [step.name for step in self.record.steps]


def _image(asset: Path, name: str, entrypoint: list[str]) -> ImageAsset:
    (asset / name).mkdir(parents=True)
    (asset / name / "Dockerfile").write_text(f"FROM scratch\nENTRYPOINT {json.dumps(entrypoint)}\n")
    return ImageAsset(directory=asset, dockerfile=f"{name}/Dockerfile", tag=name)


class Laboratory:
    """Runs definitions in an account, with an image whose program is the first container argument, and TUNED."""

    def __init__(self, account: EmulatedAccount, directory: Path) -> None:
        self.account = account
        self.directory = directory
        account.client("s3").create_bucket(Bucket=BUCKET)
        self.images = tuple(
            _image(directory / "asset", name, entrypoint)
            for name, entrypoint in {
                "fake": ["python", "-c"],
                "tuned": ["python", "-c", "import os; exec(os.environ['PROGRAM'])"],
            }.items()
        )
        self.runtime: Runtime = ProcessRuntime(
            interpreters={image.name: Path(sys.executable) for image in self.images}, grace_seconds=1.0
        )

    def put(self, key: str, content: str = "x") -> str:
        """Stores an object and returns its URI."""
        self.account.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content.encode())
        return f"s3://{BUCKET}/{key}"

    def keys(self) -> list[str]:
        return sorted(self.account.objects.keys(BUCKET, ""))

    def run(
        self,
        steps: list[Json],
        *,
        name: str = "pipe",
        parameters: list[Json] | None = None,
        given: Mapping[str, str] | None = None,
        max_parallel_steps: int = 4,
        observer: Recorder | None = None,
        experiment: Json | None = None,
        register: Callable[[EmulatedAccount, Mapping[str, Any]], str] = create_model_package,
    ) -> Result:
        self.account.client("sagemaker").create_pipeline(
            PipelineName=name,
            PipelineDefinition=definition_text(steps, parameters, experiment),
            RoleArn=ROLE,
            ClientRequestToken="x" * 32,
            ParallelismConfiguration={"MaxParallelExecutionSteps": max_parallel_steps},
        )
        pipeline = DeployedPipeline.read(self.account, name)
        started = pipeline.start(given or {})
        directory = self.directory / started.id
        (directory / "logs").mkdir(parents=True)
        observer = observer or Recorder()
        s3 = self.account.client("s3")
        execution = Execution(
            arn=started.arn,
            definition=pipeline.definition,
            scope=Scope(
                parameters=pipeline.definition.parameter_values(given or {}),
                execution=pipeline.execution_values(started),
                steps={},
                read_object=lambda uri: read_text(s3, uri),
            ),
            tools=Tools(
                account=self.account,
                runtime=self.runtime,
                images=self.images,
                directory=directory,
                execution_id=started.id,
                stop=threading.Event(),
                on_line=observer.step_line,
                register=register,
            ),
            max_parallel_steps=pipeline.max_parallel_steps,
            observer=observer,
        )
        record = execution.run()
        return Result(record=record, directory=directory, scope=execution.scope(), definition=pipeline.definition)
