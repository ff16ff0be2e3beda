"""Carries out a Transform step: the model's container answers a request for each object of the input."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local.containers.job import ContainerJob
from local.executor.definition import Step
from local.executor.expressions import StepOutcome
from local.executor.model_server import ModelServer, Refusal
from local.executor.models import unpack_model
from local.executor.tools import Done, StepFailed, Tools, recorded
from local.storage import read_text, split_uri, upload

_MANIFEST: Final = "ManifestFile"
_SUFFIX: Final = ".out"
# What CreateTransformJob takes for fields that are left out.
_DEFAULT_PAYLOAD_MB: Final = 6
_DEFAULT_CONCURRENCY: Final = 1
_DEFAULT_TIMEOUT_SECONDS: Final = 600


@dataclass(frozen=True, kw_only=True)
class _Object:
    """An object of the input, and its path in the output without the suffix."""

    bucket: str
    key: str
    path: str


def run_transform(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Runs a transform job, all instances as one; later steps may refer to its description.

    As the service does, it goes through all objects though some are refused, stores the answers that there are, and
    then ends as failed: TransformOutput in the API reference.
    """
    name, sagemaker = tools.job_name(step), tools.account.client("sagemaker")
    arn = sagemaker.create_transform_job(TransformJobName=name, **arguments)["TransformJobArn"]
    with recorded(functools.partial(tools.account.job_states.transform, name), stop=tools.stop):
        _run(step, arguments, tools)
    return Done(
        outcome=StepOutcome(properties=sagemaker.describe_transform_job(TransformJobName=name)),
        metadata={"TransformJob": {"Arn": arn}},
    )


def _run(step: Step, arguments: dict[str, Any], tools: Tools) -> None:
    root = tools.step_directory(step)
    (root / "input").mkdir(parents=True)
    objects = _objects(arguments["TransformInput"]["DataSource"]["S3DataSource"], tools)
    container = unpack_model(tools.account, arguments["ModelName"], root / "model")
    job = ContainerJob(
        name=tools.job_name(step),
        image=tools.image(container.image_uri),
        root=root,
        log=tools.log(step),
        arguments=["serve"],
        environment={**container.environment, **arguments.get("Environment", {}), **_batch(arguments)},
    )
    client = arguments.get("ModelClientConfig", {})
    timeout = client.get("InvocationsTimeoutInSeconds", _DEFAULT_TIMEOUT_SECONDS)
    server = ModelServer(job, tools.runtime, stop=tools.stop, on_line=lambda line: tools.on_line(step, line))
    with server.running(), ThreadPoolExecutor(arguments.get("MaxConcurrentTransforms", _DEFAULT_CONCURRENCY)) as pool:
        transform = functools.partial(_transform, arguments, server, timeout, tools, root)
        refusals = [item for item in pool.map(transform, objects) if item is not None]
    upload(tools.account.objects, root / "output", arguments["TransformOutput"]["S3OutputPath"])
    if refusals:
        raise StepFailed(
            f"ClientError: {len(refusals)} of {len(objects)} objects were refused, the first: {refusals[0]}"
        )
    tools.drop(root / "model")


def _batch(arguments: Mapping[str, Any]) -> dict[str, str]:
    """What the service tells a container in a transform job: "Use your own inference code with batch transform"."""
    return {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(arguments.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB)),
        "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(arguments.get("MaxConcurrentTransforms", _DEFAULT_CONCURRENCY)),
    }


def _transform(
    arguments: Mapping[str, Any], server: ModelServer, timeout: float, tools: Tools, root: Path, item: _Object
) -> str | None:
    """Stores the answer to one object, or says why there is none."""
    if tools.stop.is_set():
        raise StepFailed("stopped")
    content = root / "input" / str(threading.get_ident())
    tools.account.objects.copy_out(item.bucket, item.key, content)
    body = content.read_bytes()
    most = arguments.get("MaxPayloadInMB", _DEFAULT_PAYLOAD_MB) * 2**20
    if most and len(body) > most:  # 0: no limit
        return f"{item.key}: {len(body)} bytes, MaxPayloadInMB allows {most}"
    accept, kind = arguments["TransformOutput"].get("Accept"), arguments["TransformInput"].get("ContentType")
    headers = {"Content-Type": kind, "Accept": accept}
    answer = server.invoke(body, headers={key: value for key, value in headers.items() if value}, timeout=timeout)
    if isinstance(answer, Refusal):
        return f"{item.key}: {answer}"
    path = root / "output" / f"{item.path}{_SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(answer)
    return None


def _objects(source: Mapping[str, str], tools: Tools) -> list[_Object]:
    """The objects of a manifest or of a prefix, in order; raises StepFailed where there are none."""
    if source["S3DataType"] == _MANIFEST:
        objects = _of_manifest(json.loads(read_text(tools.account.client("s3"), source["S3Uri"])))
    else:
        bucket, prefix = split_uri(source["S3Uri"])
        keys = sorted(key for key in tools.account.objects.keys(bucket, prefix) if not key.endswith("/"))
        objects = [
            _Object(bucket=bucket, key=key, path=key[len(prefix) :].lstrip("/") or key.rsplit("/", 1)[-1])
            for key in keys
        ]
    if not objects:
        raise StepFailed(f"ClientError: {source['S3Uri']} names no object")
    outside = next((item for item in objects if ".." in item.path.split("/")), None)
    if outside:
        raise StepFailed(f"s3://{outside.bucket}/{outside.key} leads out of the output: rename the object")
    return objects


def _of_manifest(manifest: list[Any]) -> list[_Object]:
    """The form is S3DataSource's in the API reference: a prefix, then keys relative to it."""
    bucket, prefix = split_uri(manifest[0]["prefix"])
    return [_Object(bucket=bucket, key=prefix + relative, path=relative.lstrip("/")) for relative in manifest[1:]]
