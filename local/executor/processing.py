"""Carries out a Processing step: the job's request, its directories, its container, its outputs."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from local.containers.job import ContainerJob, read_message
from local.errors import LocalRunError
from local.executor.definition import Step
from local.executor.expressions import StepOutcome
from local.executor.tools import FAILURE_REASON_LIMIT, Done, StepFailed, Tools
from local.storage import download, upload

_CONTAINER_ROOT = "/opt/ml/"


def run_processing(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Runs a processing job; its property files may then be read by JsonGet."""
    name, sagemaker = tools.job_name(step), tools.account.client("sagemaker")
    arn = sagemaker.create_processing_job(ProcessingJobName=name, **arguments)["ProcessingJobArn"]
    # moto drops these fields of the request.
    tools.account.job_states.complete_processing(
        name,
        environment=arguments.get("Environment"),
        processing_resources=arguments["ProcessingResources"],
    )
    with tools.recorded(functools.partial(tools.account.job_states.processing, name)):
        _run(step, arguments, tools)
    description = sagemaker.describe_processing_job(ProcessingJobName=name)
    return Done(
        outcome=StepOutcome(properties=description, property_files=_property_files(step, arguments)),
        metadata={"ProcessingJob": {"Arn": arn}},
    )


def _run(step: Step, arguments: dict[str, Any], tools: Tools) -> None:
    root, store = tools.step_directory(step), tools.account.objects
    inputs, outputs = arguments.get("ProcessingInputs", []), _outputs(arguments)
    for item in inputs:
        download(store, item["S3Input"]["S3Uri"], root / _below_root(item["S3Input"]["LocalPath"]))
    for item in outputs:
        (root / _below_root(item["S3Output"]["LocalPath"])).mkdir(parents=True, exist_ok=True)
    (root / "output").mkdir(parents=True, exist_ok=True)
    ended = tools.runtime.run(
        _job(step, arguments, tools), on_line=lambda line: tools.on_line(step, line), stop=tools.stop
    )
    message = read_message(root / "output" / "message")
    if message:
        tools.account.job_states.complete_processing(tools.job_name(step), exit_message=message[:FAILURE_REASON_LIMIT])
    if ended.exit_code != 0:
        raise StepFailed(ended.reason(message))
    for item in outputs:
        upload(store, root / _below_root(item["S3Output"]["LocalPath"]), item["S3Output"]["S3Uri"])
    for item in inputs:
        tools.drop(root / _below_root(item["S3Input"]["LocalPath"]))


def _job(step: Step, arguments: dict[str, Any], tools: Tools) -> ContainerJob:
    application = arguments["AppSpecification"]
    return ContainerJob(
        name=tools.job_name(step),
        image=tools.image(application["ImageUri"]),
        root=tools.step_directory(step),
        log=tools.log(step),
        entrypoint=application.get("ContainerEntrypoint"),
        arguments=application.get("ContainerArguments", []),
        environment=arguments.get("Environment", {}),
    )


def _outputs(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return outputs


def _below_root(path: str) -> Path:
    """A path inside the container relative to its root, the only place that the two share."""
    relative = Path(path.removeprefix(_CONTAINER_ROOT))
    if not path.startswith(_CONTAINER_ROOT) or ".." in relative.parts:
        raise LocalRunError(f"local path {path} is not below {_CONTAINER_ROOT}: only what lies there can be exchanged")
    return relative


def _property_files(step: Step, arguments: dict[str, Any]) -> dict[str, str]:
    uris = {item["OutputName"]: item["S3Output"]["S3Uri"].rstrip("/") for item in _outputs(arguments)}
    return {
        file["PropertyFileName"]: f"{uris[file['OutputName']]}/{file['FilePath']}"
        for file in step.spec.get("PropertyFiles", [])
    }
