"""Carries out one training job: its request, configuration files, channels, containers, artifact, metrics."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from local.containers.job import ContainerJob, read_message
from local.errors import LocalRunError
from local.executor.artifacts import store_artifact, store_further_output
from local.executor.channels import bring_channels, described, refuse_channels
from local.executor.checkpoints import bring_checkpoints, keep_checkpoints
from local.executor.instances import Instance, available_cores, instances_of, listener, run_side_by_side
from local.executor.metrics import BUILTIN_DEFINITIONS, MetricReader
from local.executor.tools import BUILTIN_REPOSITORY, StepFailed, Tools, recorded

_RULES: Final = ("ProfilerRuleConfigurations", "DebugRuleConfigurations")


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A job to be carried out: `arguments` are those of CreateTrainingJob without the name.

    `root` is what its container sees as /opt/ml. Lines go to `on_line`, metrics (name, epoch, value) to `on_metric`.
    `cores` is the job's share of the machine, by default all of it.
    """

    name: str
    arguments: Mapping[str, Any]
    root: Path
    log: Path
    stop: threading.Event
    on_line: Callable[[str], None]
    on_metric: Callable[[str, int, float], None] = lambda name, epoch, value: None
    cores: int = field(default_factory=available_cores)
    tuning_job_arn: str | None = None

    @property
    def instance_count(self) -> int:
        """The instances that the job asks for."""
        count: int = self.arguments["ResourceConfig"].get("InstanceCount", 1)
        return count


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A job that was completed: its description, and the last values of its metrics."""

    description: Mapping[str, Any]
    final: Mapping[str, float]


def run_training_job(job: TrainingJob, tools: Tools) -> Trained:
    """Runs a training job to its end; its artifact is stored where the service would store it.

    Raises StepFailed with the job's failure reason, LocalRunError for what a local run cannot do.
    """
    _refuse(job, tools)
    metrics = MetricReader(_metric_definitions(job.arguments))
    sagemaker, states = tools.account.client("sagemaker"), tools.account.job_states
    sagemaker.create_training_job(TrainingJobName=job.name, **job.arguments)
    states.complete_training(job.name, job.arguments, **_of_tuning(job))
    artifact = sagemaker.describe_training_job(TrainingJobName=job.name)["ModelArtifacts"]["S3ModelArtifacts"]
    instances = instances_of(job.instance_count, directory=job.root, log=job.log)
    with recorded(functools.partial(states.training, job.name), stop=job.stop):
        _say_what_is_left_out(job)
        try:
            with _checkpoints(job, instances, tools):
                _run(job, instances, metrics, tools)
        finally:
            states.training_metrics(job.name, metrics.final)
            _write_metrics(job, metrics)
        if job.stop.is_set():
            raise StepFailed("the training job was stopped")
        _store(job, instances, artifact, tools)
    description = sagemaker.describe_training_job(TrainingJobName=job.name)
    return Trained(description=description, final=dict(metrics.final))


def _refuse(job: TrainingJob, tools: Tools) -> None:
    refuse_channels(job.arguments)
    if job.instance_count > 1 and tools.runtime.name != "process":
        raise LocalRunError(
            f"a training job on {job.instance_count} instances needs a network between them, which --runtime "
            f"{tools.runtime.name} does not give its containers: use --runtime process, or one instance"
        )


def _metric_definitions(arguments: Mapping[str, Any]) -> Sequence[Mapping[str, str]]:
    """Those of the request; the built-in algorithm has its own, which a request cannot change."""
    specification = arguments["AlgorithmSpecification"]
    if BUILTIN_REPOSITORY in specification.get("TrainingImage", ""):
        return BUILTIN_DEFINITIONS
    given: Sequence[Mapping[str, str]] = specification.get("MetricDefinitions", ())
    return given


def _of_tuning(job: TrainingJob) -> dict[str, str]:
    return {"tuning_job_arn": job.tuning_job_arn} if job.tuning_job_arn else {}


def _say_what_is_left_out(job: TrainingJob) -> None:
    names = [rule["RuleConfigurationName"] for field in _RULES for rule in job.arguments.get(field, ())]
    if names:
        job.log.parent.mkdir(parents=True, exist_ok=True)
        with job.log.open("a", encoding="utf-8") as log:
            log.write(f"imgpipe: the service's own rules are not run here: {', '.join(names)}\n")


@contextmanager
def _checkpoints(job: TrainingJob, instances: Sequence[Instance], tools: Tools) -> Iterator[None]:
    """Brings checkpoints before the containers start; keeps them however these end."""
    config = job.arguments.get("CheckpointConfig")
    if config is None:
        yield
        return
    for instance in instances:
        bring_checkpoints(tools.account.objects, config, instance)
    try:
        yield
    finally:
        keep_checkpoints(tools.account.objects, config, instances)


def _run(job: TrainingJob, instances: Sequence[Instance], metrics: MetricReader, tools: Tools) -> None:
    for instance in instances:
        _prepare(job, instance, tools)

    def hear(instance: Instance, line: str) -> None:
        if instance.number == 0:  # the others report on shares of the data
            for found in metrics.hear(line):
                job.on_metric(*found)

    with listener(instances, log=job.log, on_line=job.on_line) as tell:

        def run(instance: Instance, halt: threading.Event) -> None:
            def on_line(line: str) -> None:
                hear(instance, line)
                tell(instance, line)

            ended = tools.runtime.run(_container(job, instance, tools), on_line=on_line, stop=halt)
            if ended.exit_code != 0:
                where = "" if instance.count == 1 else f" (instance {instance.host} of {instance.count})"
                raise StepFailed(f"{ended.reason(read_message(instance.root / 'output' / 'failure'))}{where}")

        run_side_by_side(instances, run, stop=job.stop, at_once=len(instances))


def _prepare(job: TrainingJob, instance: Instance, tools: Tools) -> None:
    """Makes an instance's directories and the files below input/config, as the service does."""
    share = (instance.number, instance.count)
    bring_channels(tools.account.objects, job.arguments, instance.root / "input" / "data", share=share)
    for folder in ("model", "output/data", "input/config"):
        (instance.root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in {
        "hyperparameters": job.arguments.get("HyperParameters", {}),
        "inputdataconfig": described(job.arguments),
        "resourceconfig": _resources(instance),
    }.items():
        (instance.root / "input" / "config" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _resources(instance: Instance) -> dict[str, Any]:
    """Several instances find each other at addresses of their own; the whole of 127.0.0.0/8 is this machine."""
    hosts = [instance.host] if instance.count == 1 else [f"127.0.0.{number + 1}" for number in range(instance.count)]
    return {"current_host": hosts[instance.number], "hosts": hosts, "network_interface_name": "lo"}


def _container(job: TrainingJob, instance: Instance, tools: Tools) -> ContainerJob:
    specification = job.arguments["AlgorithmSpecification"]
    return ContainerJob(
        name=instance.named(job.name),
        image=tools.image(specification["TrainingImage"]),
        root=instance.root,
        log=instance.log,
        entrypoint=specification.get("ContainerEntrypoint"),
        arguments=specification.get("ContainerArguments", ["train"]),
        environment={
            # As the service names it; our trainer also tells jobs on one machine apart by it.
            "TRAINING_JOB_NAME": job.name,
            **_threads(job, instance),
            **job.arguments.get("Environment", {}),
        },
    )


def _threads(job: TrainingJob, instance: Instance) -> dict[str, str]:
    """Containers that share the machine must share its cores, or they slow each other down."""
    threads = max(1, job.cores // instance.count)
    return {"OMP_NUM_THREADS": str(threads)} if threads < available_cores() else {}


def _write_metrics(job: TrainingJob, metrics: MetricReader) -> None:
    """The series of every metric, beside the job's log: `<log>.metrics.json`."""
    job.log.parent.mkdir(parents=True, exist_ok=True)
    metrics.write(
        job.log.with_suffix(".metrics.json"),
        training_job=job.name,
        hyperparameters=dict(job.arguments.get("HyperParameters", {})),
    )


def _store(job: TrainingJob, instances: Sequence[Instance], artifact: str, tools: Tools) -> None:
    objects = tools.account.objects
    store_artifact(objects, instances, uri=artifact, path=job.root / "model.tar.gz")
    further = f"{artifact.rsplit('/', 1)[0]}/output.tar.gz"
    store_further_output(objects, instances, uri=further, path=job.root / "output.tar.gz")
    for instance in instances:
        if (instance.root / "input" / "data").is_dir():
            tools.drop(instance.root / "input" / "data")
