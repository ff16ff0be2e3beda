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
from local.executor.tools import Tools
from local.pipeline import DeployedPipeline
from local.storage import read_text

Json = dict[str, Any]

IMAGE_URI = "123456789012.dkr.ecr.us-east-1.amazonaws.com/assets:fake"
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


def condition(name: str, conditions: list[Json], *, then: list[Json], otherwise: list[Json], **more: Any) -> Json:
    arguments = {"Conditions": conditions, "IfSteps": then, "ElseSteps": otherwise}
    return {"Name": name, "Type": "Condition", "Arguments": arguments, **more}


def fail(name: str, message: Any) -> Json:
    return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}}


def definition_text(steps: list[Json], parameters: list[Json] | None = None) -> str:
    return json.dumps({"Version": "2020-12-01", "Parameters": parameters or [], "Steps": steps})


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


class Laboratory:
    """Runs definitions in an account, with one image whose program is the first container argument."""

    def __init__(self, account: EmulatedAccount, directory: Path) -> None:
        self.account = account
        self.directory = directory
        account.client("s3").create_bucket(Bucket=BUCKET)
        asset = directory / "asset"
        (asset / "fake").mkdir(parents=True)
        (asset / "fake" / "Dockerfile").write_text('FROM scratch\nENTRYPOINT ["python", "-c"]\n')
        self.image = ImageAsset(directory=asset, dockerfile="fake/Dockerfile", tag="fake")
        self.runtime: Runtime = ProcessRuntime(interpreters={"fake": Path(sys.executable)}, grace_seconds=1.0)

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
    ) -> Result:
        self.account.client("sagemaker").create_pipeline(
            PipelineName=name,
            PipelineDefinition=definition_text(steps, parameters),
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
                images=(self.image,),
                directory=directory,
                execution_id=started.id,
                stop=threading.Event(),
                on_line=observer.step_line,
            ),
            max_parallel_steps=pipeline.max_parallel_steps,
            observer=observer,
        )
        record = execution.run()
        return Result(record=record, directory=directory, scope=execution.scope(), definition=pipeline.definition)
