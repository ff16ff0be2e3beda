"""One local run: synthesise, deploy into an emulated account, upload the images, execute, write down the result."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from local.assembly import read_assembly
from local.containers.docker import DockerRuntime, docker_answers
from local.containers.job import Runtime
from local.containers.process import ProcessRuntime
from local.emulator.account import EmulatedAccount, emulated_account
from local.executor.definition import Definition
from local.executor.execution import SUPPORTED, Execution
from local.executor.expressions import Scope
from local.executor.records import Observer
from local.executor.tools import Tools
from local.memory import PeakMemory
from local.storage import read_text, upload
from local.summary import summarise, write_atomically
from local.synth import synthesise

RuntimeName = Literal["auto", "process", "docker"]

# Names that the deployed environment and this run agree on: a stack output and a parameter of the pipeline.
PIPELINE_OUTPUT, DATA_PARAMETER = "PipelineName", "InputDataUri"


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What to run: an environment's pipeline, on a folder of class folders, with changed parameters."""

    environment: str
    data: Path
    project: Path
    home: Path  # the .imgpipe directory
    interpreters: Mapping[str, Path]  # by image name, for the process runtime
    parameters: Mapping[str, str] = field(default_factory=dict)
    runtime: RuntimeName = "auto"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Where a run's files are, and the content of its summary.json."""

    directory: Path
    summary: dict[str, Any]


class RunObserver(Observer, Protocol):
    """Somebody who also hears of the preparation."""

    def phase(self, text: str) -> None:
        """A phase before the first step begins."""
        ...

    def execution_started(self, definition: Definition, execution_id: str, runtime: str) -> None:
        """The execution has begun."""
        ...


def run_locally(request: RunRequest, *, observer: RunObserver) -> RunResult:
    """Carries out a request and writes `summary.json`, also where the execution fails or is stopped.

    Raises LocalRunError for what is wrong before the execution starts; nothing is left behind then.
    """
    began = time.monotonic()
    with ExitStack() as stack:
        memory = stack.enter_context(PeakMemory())
        staging = stack.enter_context(_staging(request.home / "runs"))
        observer.phase(f"Synthesising environment {request.environment}")
        assembly = synthesise(request.environment, project=request.project, outdir=staging / "cdk.out")
        account = stack.enter_context(emulated_account(region=assembly.stacks[0].region))
        observer.phase("Deploying its stacks into an emulated account")
        pipeline = account.deploy(assembly)[PIPELINE_OUTPUT]
        definition, values = _deployed(account, pipeline, request.parameters)
        observer.phase(f"Uploading {request.data}")
        upload(account.client("s3"), request.data, values[DATA_PARAMETER])
        execution, directory = _start(request, staging, account, pipeline, definition, values, observer)
        record = execution.run()
        summary = summarise(
            record,
            definition=definition,
            scope=execution.scope(),
            s3=account.client("s3"),
            seconds=time.monotonic() - began,
            peak_memory_bytes=memory.peak_bytes,
        )
        _copy_report(directory)
        write_atomically(directory / "summary.json", summary)
        return RunResult(directory=directory, summary=summary)


@contextmanager
def _staging(runs: Path) -> Iterator[Path]:
    """A directory that becomes the run's own once the execution has an id, and is removed if it never does."""
    runs.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=".new-", dir=runs))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _deployed(
    account: EmulatedAccount, pipeline: str, parameters: Mapping[str, str]
) -> tuple[Definition, dict[str, Any]]:
    """The definition as the account has it, and the parameters' values."""
    text = account.client("sagemaker").describe_pipeline(PipelineName=pipeline)["PipelineDefinition"]
    definition = Definition.parse(text)
    definition.refuse_unsupported(SUPPORTED)
    return definition, definition.parameter_values(parameters)


def _start(
    request: RunRequest,
    staging: Path,
    account: EmulatedAccount,
    pipeline: str,
    definition: Definition,
    values: Mapping[str, Any],
    observer: RunObserver,
) -> tuple[Execution, Path]:
    sagemaker, s3 = account.client("sagemaker"), account.client("s3")
    arn = sagemaker.start_pipeline_execution(
        PipelineName=pipeline,
        PipelineParameters=[{"Name": name, "Value": value} for name, value in request.parameters.items()],
    )["PipelineExecutionArn"]
    described = sagemaker.describe_pipeline(PipelineName=pipeline)
    execution_id = arn.rsplit("/", 1)[-1]
    directory = _settle(staging, execution_id)
    runtime = _runtime(request, directory)
    observer.execution_started(definition, execution_id, runtime.name)
    execution = Execution(
        arn=arn,
        definition=definition,
        scope=Scope(
            parameters=values,
            execution={
                "PipelineExecutionId": execution_id,
                "PipelineExecutionArn": arn,
                "PipelineName": pipeline,
                "PipelineArn": described["PipelineArn"],
                "StartDateTime": described["LastRunTime"].isoformat(),
                "CurrentDateTime": described["LastRunTime"].isoformat(),
            },
            steps={},
            read_object=lambda uri: read_text(s3, uri),
        ),
        tools=Tools(
            account=account,
            runtime=runtime,
            images=read_assembly(directory / "cdk.out").images,
            directory=directory,
            execution_id=execution_id,
            stop=threading.Event(),
            on_line=observer.step_line,
        ),
        max_parallel_steps=described["ParallelismConfiguration"].get("MaxParallelExecutionSteps", 4),
        observer=observer,
    )
    return execution, directory


def _settle(staging: Path, execution_id: str) -> Path:
    """Gives the run its directory, and points `latest` at it."""
    directory = staging.rename(staging.with_name(execution_id))
    link = directory.with_name(f".latest-{execution_id}")
    link.symlink_to(execution_id)
    link.replace(directory.with_name("latest"))
    (directory / "logs").mkdir()
    return directory


def _runtime(request: RunRequest, directory: Path) -> Runtime:
    if request.runtime == "docker" or (request.runtime == "auto" and docker_answers()):
        return DockerRuntime(build_log=directory / "logs" / "docker-build.log")
    return ProcessRuntime(interpreters=request.interpreters)


def _copy_report(directory: Path) -> None:
    for report in directory.glob("steps/*/processing/output/*/report.html"):
        shutil.copyfile(report, directory / "report.html")
