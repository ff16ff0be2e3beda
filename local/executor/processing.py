"""Carries out a Processing step: the job's request, its directories, its containers, its outputs."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Sequence
from typing import Any, Final

from local.containers.job import ContainerJob, read_message
from local.errors import LocalRunError
from local.executor.definition import Step
from local.executor.expressions import StepOutcome
from local.executor.instances import Instance, instances_of, listener, run_side_by_side
from local.executor.paths import below_root
from local.executor.tools import FAILURE_REASON_LIMIT, Done, StepFailed, Tools, recorded
from local.manifest import MANIFEST_FILE, download_manifest
from local.storage import destinations, download, split_uri, upload

# The values of S3DataDistributionType; the first where an input says nothing.
_REPLICATED: Final = "FullyReplicated"
_SHARDED: Final = "ShardedByS3Key"


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
    with recorded(functools.partial(tools.account.job_states.processing, name), stop=tools.stop):
        _run(step, arguments, arn, tools)
    description = sagemaker.describe_processing_job(ProcessingJobName=name)
    return Done(
        outcome=StepOutcome(properties=description, property_files=_property_files(step, arguments)),
        metadata={"ProcessingJob": {"Arn": arn}},
    )


def _run(step: Step, arguments: dict[str, Any], arn: str, tools: Tools) -> None:
    count = arguments["ProcessingResources"]["ClusterConfig"]["InstanceCount"]
    log = tools.log(step)
    instances = instances_of(count, directory=tools.step_directory(step), log=log)
    inputs, outputs = arguments.get("ProcessingInputs", []), _outputs(arguments)
    with listener(instances, log=log, on_line=lambda line: tools.on_line(step, line)) as hear:

        def run(instance: Instance, halt: threading.Event) -> None:
            _prepare(instance, arguments, tools)
            _write_configuration(
                instance, {"ProcessingJobArn": arn, "ProcessingJobName": tools.job_name(step)}, arguments
            )
            job = _job(step, instance, arguments, tools)
            ended = tools.runtime.run(job, on_line=lambda line: hear(instance, line), stop=halt)
            if ended.exit_code != 0:
                where = "" if instance.count == 1 else f" (instance {instance.host} of {instance.count})"
                raise StepFailed(f"{ended.reason(_message(instance))}{where}")

        try:
            run_side_by_side(instances, run, stop=tools.stop)
        finally:
            if message := " ".join(filter(None, map(_message, instances))):
                message = message[:FAILURE_REASON_LIMIT]
                tools.account.job_states.complete_processing(tools.job_name(step), exit_message=message)
    _store(instances, outputs, tools)
    for instance in instances:
        for item in inputs:
            tools.drop(instance.root / below_root(item["S3Input"]["LocalPath"]))


def _prepare(instance: Instance, arguments: dict[str, Any], tools: Tools) -> None:
    """Brings an instance's inputs, and makes the directories of its outputs."""
    for item in arguments.get("ProcessingInputs", []):
        source = item["S3Input"]
        distribution = source.get("S3DataDistributionType", _REPLICATED)
        if distribution not in (_REPLICATED, _SHARDED):
            raise LocalRunError(
                f"input {item['InputName']}: distribution {distribution} is unknown: use {_REPLICATED} or {_SHARDED}"
            )
        if source.get("S3DataType") == MANIFEST_FILE:
            place = instance.root / below_root(source["LocalPath"])
            download_manifest(tools.account.objects, source["S3Uri"], place)
            continue
        share = (instance.number, instance.count) if distribution == _SHARDED else (0, 1)
        download(tools.account.objects, source["S3Uri"], instance.root / below_root(source["LocalPath"]), share=share)
    for item in _outputs(arguments):
        (instance.root / below_root(item["S3Output"]["LocalPath"])).mkdir(parents=True, exist_ok=True)
    (instance.root / "output").mkdir(parents=True, exist_ok=True)


def _write_configuration(instance: Instance, job: dict[str, str], arguments: dict[str, Any]) -> None:
    """The two files below config that "How Amazon SageMaker Processing Configures Your Processing Container" describes.

    https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html#byoc-config
    """
    directory = instance.root / "config"
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in {
        "resourceconfig": {"current_host": instance.host, "hosts": instance.hosts},
        "processingjobconfig": job | arguments,
    }.items():
        (directory / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _job(step: Step, instance: Instance, arguments: dict[str, Any], tools: Tools) -> ContainerJob:
    application = arguments["AppSpecification"]
    return ContainerJob(
        name=instance.named(tools.job_name(step)),
        image=tools.image(application["ImageUri"]),
        root=instance.root,
        log=instance.log,
        entrypoint=application.get("ContainerEntrypoint"),
        arguments=application.get("ContainerArguments", []),
        environment=arguments.get("Environment", {}),
    )


def _message(instance: Instance) -> str:
    return read_message(instance.root / "output" / "message")


def _store(instances: Sequence[Instance], outputs: list[dict[str, Any]], tools: Tools) -> None:
    """Uploads what all instances wrote, to one prefix for each output.

    The service lets the last writer win, in an order that nobody knows; here two writers of a key are an error.
    """
    writers: dict[str, Instance] = {}
    for instance in instances:
        for item in outputs:
            uri = item["S3Output"]["S3Uri"]
            for key, _ in destinations(instance.root / below_root(item["S3Output"]["LocalPath"]), uri):
                object_uri = f"s3://{split_uri(uri)[0]}/{key}"
                other = writers.setdefault(object_uri, instance)
                if other is not instance:
                    raise StepFailed(
                        f"instances {other.host} and {instance.host} both wrote {object_uri}: "
                        "put the host of config/resourceconfig.json into the file's path"
                    )
    for instance in instances:
        for item in outputs:
            directory = instance.root / below_root(item["S3Output"]["LocalPath"])
            upload(tools.account.objects, directory, item["S3Output"]["S3Uri"])


def _outputs(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return outputs


def _property_files(step: Step, arguments: dict[str, Any]) -> dict[str, str]:
    uris = {item["OutputName"]: item["S3Output"]["S3Uri"].rstrip("/") for item in _outputs(arguments)}
    return {
        file["PropertyFileName"]: f"{uris[file['OutputName']]}/{file['FilePath']}"
        for file in step.spec.get("PropertyFiles", [])
    }
