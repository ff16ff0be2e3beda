"""Carries out a Training step: configuration files, channels, the trainer's container, model.tar.gz."""

from __future__ import annotations

import functools
import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

from local.containers.job import ContainerJob, read_message
from local.executor.definition import Step
from local.executor.expressions import StepOutcome
from local.executor.tools import Done, StepFailed, Tools
from local.storage import download, split_uri

_HOST = "algo-1"


def run_training(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Runs a training job; its artifact is stored where the service would store it."""
    name, sagemaker = tools.job_name(step), tools.account.client("sagemaker")
    arn = sagemaker.create_training_job(TrainingJobName=name, **arguments)["TrainingJobArn"]
    states = tools.account.job_states
    states.complete_training(name, environment=arguments.get("Environment"))
    artifact = sagemaker.describe_training_job(TrainingJobName=name)["ModelArtifacts"]["S3ModelArtifacts"]
    with tools.recorded(functools.partial(states.training, name)):
        _run(step, arguments, tools)
        _store_artifact(tools.step_directory(step), artifact, tools)
        tools.drop(tools.step_directory(step) / "input" / "data")
    description = sagemaker.describe_training_job(TrainingJobName=name)
    return Done(outcome=StepOutcome(properties=description), metadata={"TrainingJob": {"Arn": arn}})


def _run(step: Step, arguments: dict[str, Any], tools: Tools) -> None:
    root = tools.step_directory(step)
    for channel in arguments["InputDataConfig"]:
        source = channel["DataSource"]["S3DataSource"]["S3Uri"]
        download(tools.account.objects, source, root / "input" / "data" / channel["ChannelName"])
    for folder in ("model", "output"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    _write_configuration(root / "input" / "config", arguments)
    specification = arguments["AlgorithmSpecification"]
    job = ContainerJob(
        name=tools.job_name(step),
        image=tools.image(specification["TrainingImage"]),
        root=root,
        log=tools.log(step),
        entrypoint=specification.get("ContainerEntrypoint"),
        arguments=specification.get("ContainerArguments", ["train"]),
        environment=arguments.get("Environment", {}),
    )
    ended = tools.runtime.run(job, on_line=lambda line: tools.on_line(step, line), stop=tools.stop)
    if ended.exit_code != 0:
        raise StepFailed(ended.reason(read_message(root / "output" / "failure")))


def _write_configuration(directory: Path, arguments: dict[str, Any]) -> None:
    """The files below input/config, as the service writes them."""
    channels = {
        channel["ChannelName"]: {
            "ContentType": channel.get("ContentType", ""),
            "TrainingInputMode": channel.get("InputMode", arguments["AlgorithmSpecification"]["TrainingInputMode"]),
            "S3DistributionType": channel["DataSource"]["S3DataSource"]["S3DataDistributionType"],
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
        }
        for channel in arguments["InputDataConfig"]
    }
    resources = {"current_host": _HOST, "hosts": [_HOST], "network_interface_name": "lo"}
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in {
        "hyperparameters": arguments.get("HyperParameters", {}),
        "inputdataconfig": channels,
        "resourceconfig": resources,
    }.items():
        (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _store_artifact(root: Path, uri: str, tools: Tools) -> None:
    """Equal models give equal archives: names sorted, times and owners left out."""
    path = root / "model.tar.gz"
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0, compresslevel=1) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for member in sorted((root / "model").rglob("*")):
            archive.add(member, member.relative_to(root / "model"), recursive=False, filter=_without_owner)
    bucket, key = split_uri(uri)
    tools.account.objects.put(bucket, key, path)


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
