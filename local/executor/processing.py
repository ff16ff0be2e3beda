"""Carries out a Processing step: the job's request, its directories, its container, its outputs."""

from __future__ import annotations

from typing import Any

from local.containers.job import ContainerJob
from local.executor.definition import Step
from local.executor.expressions import StepOutcome
from local.executor.tools import Done, StepFailed, Tools
from local.storage import download, upload

_CONTAINER_ROOT = "/opt/ml/"


def run_processing(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Runs a processing job; its property files may then be read by JsonGet."""
    name, sagemaker = tools.job_name(step), tools.account.client("sagemaker")
    arn = sagemaker.create_processing_job(ProcessingJobName=name, **arguments)["ProcessingJobArn"]
    request = {
        "environment": arguments.get("Environment"),
        "processing_resources": arguments["ProcessingResources"],
    }
    tools.account.job_states.processing(name, status="InProgress", **request)
    try:
        _run(step, arguments, tools)
    except BaseException as error:
        status = "Stopped" if tools.stop.is_set() else "Failed"
        tools.account.job_states.processing(name, status=status, failure_reason=str(error))
        raise
    tools.account.job_states.processing(name, status="Completed")
    description = sagemaker.describe_processing_job(ProcessingJobName=name)
    return Done(
        outcome=StepOutcome(properties=description, property_files=_property_files(step, arguments)),
        metadata={"ProcessingJob": {"Arn": arn}},
    )


def _run(step: Step, arguments: dict[str, Any], tools: Tools) -> None:
    root, s3 = tools.step_directory(step), tools.account.client("s3")
    outputs = arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
    for item in arguments.get("ProcessingInputs", []):
        download(s3, item["S3Input"]["S3Uri"], root / _below_root(item["S3Input"]["LocalPath"]))
    for item in outputs:
        (root / _below_root(item["S3Output"]["LocalPath"])).mkdir(parents=True, exist_ok=True)
    (root / "output").mkdir(exist_ok=True)
    application = arguments["AppSpecification"]
    job = ContainerJob(
        name=step.name,
        image=tools.image(application["ImageUri"]),
        root=root,
        log=tools.log(step),
        entrypoint=application.get("ContainerEntrypoint"),
        arguments=application.get("ContainerArguments", []),
        environment=arguments.get("Environment", {}),
    )
    ended = tools.runtime.run(job, on_line=lambda line: tools.on_line(step, line), stop=tools.stop)
    if ended.exit_code != 0:
        raise StepFailed(ended.reason(root / "output" / "message"))
    for item in outputs:
        upload(s3, root / _below_root(item["S3Output"]["LocalPath"]), item["S3Output"]["S3Uri"])


def _below_root(path: str) -> str:
    return path.removeprefix(_CONTAINER_ROOT)


def _property_files(step: Step, arguments: dict[str, Any]) -> dict[str, str]:
    outputs = arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
    uris = {item["OutputName"]: item["S3Output"]["S3Uri"] for item in outputs}
    return {
        file["PropertyFileName"]: f"{uris[file['OutputName']]}/{file['FilePath']}"
        for file in step.spec.get("PropertyFiles", [])
    }
