"""One local run: synthesise, deploy into an emulated account, upload the images, execute, write down the result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from local.assembly import read_assembly
from local.containers.docker import DockerRuntime, docker_silence
from local.containers.job import Runtime
from local.containers.process import ProcessRuntime, missing_interpreter
from local.directory import new_directory
from local.early import check_early
from local.emulator.account import emulated_account
from local.errors import LocalRunError
from local.executor.definition import Definition
from local.executor.execution import SUPPORTED, Execution
from local.executor.expressions import Scope
from local.executor.records import Observer
from local.executor.tools import Tools
from local.memory import PeakMemory
from local.model_files import upload_model_files
from local.pipeline import DeployedPipeline, StartedExecution, deployed_name
from local.ranges import check_values
from local.registry.account import LocalRegistry
from local.registry.store import RegistryStore
from local.storage import all_files, read_text, upload
from local.summary import summarise
from local.synth import synthesise

RuntimeName = Literal["auto", "process", "docker"]

# Names that the deployed environment and this run agree on: stack outputs, and a parameter of the pipeline.
DATA_BUCKET_OUTPUT, ARTIFACT_BUCKET_OUTPUT, DATA_PARAMETER = "DataBucketName", "ArtifactBucketName", "InputDataUri"
_STACK = "training"  # has all pipelines; what comes after it serves and watches their models


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What to run: an environment's pipeline, on a folder of class folders, with changed parameters."""

    environment: str
    data: Path
    project: Path
    home: Path  # the .imgpipe directory
    interpreters: Mapping[str, Path]  # by image name, for the process runtime
    parameters: Mapping[str, str] = field(default_factory=dict)
    suggestions: Mapping[str, str] = field(default_factory=dict)  # where the environment offers them
    runtime: RuntimeName = "auto"
    pipeline: str = "train"  # one of local.pipeline.PIPELINE_OUTPUTS


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Where a run's files are, its summary.json and its parameters, and what made it fail, for a traceback."""

    directory: Path
    summary: dict[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    error: BaseException | None = None


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
        make_runtime = choose_runtime(request)
        memory = stack.enter_context(PeakMemory())
        directory = stack.enter_context(new_directory(request.home / "runs"))
        _check_early(request)
        observer.phase(f"Synthesising environment {request.environment}")
        assembly = synthesise(request.environment, project=request.project, outdir=directory.assembly).up_to(_STACK)
        account = stack.enter_context(emulated_account(region=assembly.stacks[0].region))
        observer.phase("Deploying its stacks into an emulated account")
        outputs = account.deploy(assembly)
        pipeline = DeployedPipeline.read(account, deployed_name(request.pipeline, outputs))
        pipeline.definition.refuse_unsupported(SUPPORTED)
        parameters = _parameters(request, pipeline, bucket=outputs[DATA_BUCKET_OUTPUT])
        values = pipeline.definition.parameter_values(parameters)
        check_values(pipeline.definition, values)
        store = RegistryStore(request.home, request.environment)
        registry = LocalRegistry(store, bucket=outputs[ARTIFACT_BUCKET_OUTPUT])
        registry.restore(account)
        observer.phase(f"Uploading {request.data}")
        upload(account.objects, request.data, values[DATA_PARAMETER], files=all_files(request.data, hidden=False))
        started = pipeline.start(parameters)
        directory.settle(started.id)
        tools = Tools(
            account=account,
            runtime=make_runtime(directory.logs),
            images=read_assembly(directory.assembly).images,
            directory=directory.path,
            execution_id=started.id,
            stop=threading.Event(),
            on_line=observer.step_line,
            register=registry.register,
        )
        execution = _execution(pipeline, started, values, tools, observer)
        record = execution.run()
        summary = summarise(
            record,
            pipeline=request.pipeline,
            environment=request.environment,
            definition=pipeline.definition,
            scope=execution.scope(),
            s3=account.client("s3"),
            seconds=time.monotonic() - began,
            peak_memory_bytes=memory.peak_bytes,
        )
        directory.write_summary(summary)
        return RunResult(directory=directory.path, summary=summary, parameters=values, error=record.error)


def _check_early(request: RunRequest) -> None:
    check_early(
        environment=request.environment,
        pipeline=request.pipeline,
        project=request.project,
        home=request.home,
        parameters=request.parameters,
        suggestions=request.suggestions,
    )


def _parameters(request: RunRequest, pipeline: DeployedPipeline, *, bucket: str) -> dict[str, str]:
    """What is given and suggested, models on this machine uploaded."""
    definition = pipeline.definition
    given = {**definition.offered(request.suggestions), **request.parameters}
    return upload_model_files(pipeline.account.objects, given, defaults=definition.defaults(), bucket=bucket)


def choose_runtime(request: RunRequest) -> Callable[[Path], Runtime]:
    """The runtime that is asked for, once it is given the directory of the logs; `auto` is Docker where it answers.

    Raises LocalRunError where Docker is asked for and does not answer, or where a Python environment is missing: in the
    middle of a run it is late to hear of it.
    """
    silence = None if request.runtime == "process" else docker_silence()
    if request.runtime == "docker" and silence:
        raise LocalRunError(f"Docker does not answer ({silence}): start it, or use --runtime process")
    if request.runtime != "process" and silence is None:
        return lambda logs: DockerRuntime(build_log=logs / "docker-build.log")
    for image, interpreter in request.interpreters.items():
        if not interpreter.exists():
            raise LocalRunError(missing_interpreter(image, interpreter))
    return lambda logs: ProcessRuntime(interpreters=request.interpreters)


def _execution(
    pipeline: DeployedPipeline,
    started: StartedExecution,
    values: Mapping[str, Any],
    tools: Tools,
    observer: RunObserver,
) -> Execution:
    observer.execution_started(pipeline.definition, started.id, tools.runtime.name)
    s3 = pipeline.account.client("s3")
    return Execution(
        arn=started.arn,
        definition=pipeline.definition,
        scope=Scope(
            parameters=values,
            execution=pipeline.execution_values(started),
            steps={},
            read_object=lambda uri: read_text(s3, uri),
        ),
        tools=tools,
        max_parallel_steps=pipeline.max_parallel_steps,
        observer=observer,
    )
