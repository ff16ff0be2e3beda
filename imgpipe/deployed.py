"""A deployed environment, through boto3: its stack outputs, its data, its executions, its models."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from imgpipe.errors import CommandError
from imgpipe.project import environment_settings
from imgpipe.versions import ModelVersion
from local.errors import LocalRunError
from local.executor.definition import Definition
from local.pipeline import deployed_name
from local.ranges import check_values
from local.storage import all_files, read_text, split_uri

_UPLOAD_THREADS = 16
_BLOCK_BYTES = 2**20
_DELETE_BATCH = 1000  # of DeleteObjects


@dataclass(frozen=True, kw_only=True)
class UploadResult:
    """How many files were sent, were there already, and were removed."""

    sent: int
    unchanged: int
    removed: int


class Deployed:
    """The deployed stacks of an environment; raises CommandError where there are none."""

    def __init__(self, environment: str) -> None:
        settings = environment_settings(environment)
        self._environment = environment
        self._region = settings.region
        self._prefix = f"{settings.project}-{environment}"
        self._serving_stack = f"{self._prefix}-serving"
        self._outputs = self._read_outputs(f"{self._prefix}-training")

    def client(self, service: str) -> Any:
        """A client of a service in the environment's region."""
        return boto3.client(service, region_name=self._region)  # type: ignore[call-overload]

    def _read_outputs(self, name: str) -> Mapping[str, str]:
        outputs = self._find_outputs(name)
        if outputs is None:
            raise CommandError(
                f"environment {self._environment} is not deployed in {self._region} (no stack {name}): "
                f"run `make deploy ENV={self._environment}`"
            )
        return outputs

    def _find_outputs(self, name: str) -> Mapping[str, str] | None:
        try:
            [stack] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            return None
        return {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}

    def serving_outputs(self) -> Mapping[str, str]:
        """The outputs of the serving stack; raises CommandError where it is not deployed."""
        return self._read_outputs(self._serving_stack)

    def has_serving(self) -> bool:
        """Whether approved versions are deployed to an endpoint; the stacks before the serving one work without it."""
        return self._find_outputs(self._serving_stack) is not None

    @property
    def data_uri(self) -> str:
        """Where the pipeline looks for class folders unless told otherwise."""
        return self._outputs["DatasetUri"].rstrip("/")

    def upload(self, folder: Path, *, delete: bool, uri: str | None = None) -> UploadResult:
        """Sends the files that are new or changed; with `delete`, removes objects that the folder does not hold.

        To `data_uri`, or to `uri`, which has no slash at its end.
        """
        s3, (bucket, prefix) = self.client("s3"), split_uri(uri or self.data_uri)
        present = _listing(s3, bucket, f"{prefix}/")
        local = {f"{prefix}/{path.relative_to(folder).as_posix()}": path for path in all_files(folder, hidden=False)}
        changed = [(key, path) for key, path in local.items() if present.get(key) != _etag(path)]
        _send(s3, bucket, changed)
        removed = sorted(present.keys() - local.keys()) if delete else []
        _remove(s3, bucket, removed)
        return UploadResult(sent=len(changed), unchanged=len(local) - len(changed), removed=len(removed))

    def start(self, parameters: Mapping[str, str], *, pipeline: str) -> str:
        """Starts an execution and returns its ARN; unknown names, wrong types and ranges are refused first."""
        sagemaker, pipeline = self.client("sagemaker"), deployed_name(pipeline, self._outputs)
        definition = sagemaker.describe_pipeline(PipelineName=pipeline)["PipelineDefinition"]
        parsed = Definition.parse(definition)
        check_values(parsed, parsed.parameter_values(parameters))
        given = [{"Name": name, "Value": value} for name, value in parameters.items()]
        answer = sagemaker.start_pipeline_execution(PipelineName=pipeline, PipelineParameters=given)
        return str(answer["PipelineExecutionArn"])

    def execution(self, execution_id: str | None, *, pipeline: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """An execution of a pipeline (the newest without an id) and its steps in order of their start."""
        sagemaker, name = self.client("sagemaker"), deployed_name(pipeline, self._outputs)
        pages = sagemaker.get_paginator("list_pipeline_executions").paginate(
            PipelineName=name, SortBy="CreationTime", SortOrder="Descending"
        )
        arns = (item["PipelineExecutionArn"] for page in pages for item in page["PipelineExecutionSummaries"])
        arn = next((arn for arn in arns if execution_id in (None, arn, arn.rsplit("/", 1)[-1])), None)
        if arn is None:
            what = f"has no execution {execution_id}" if execution_id else "has no execution yet"
            command = f"imgpipe start --pipeline {pipeline} --env {self._environment}"
            raise CommandError(f"pipeline {name} {what}: start one with `{command}`")
        pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
            PipelineExecutionArn=arn, SortOrder="Ascending"
        )
        steps = [step for page in pages for step in page["PipelineExecutionSteps"]]
        return sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn), steps

    def versions(self) -> list[ModelVersion]:
        """The versions in the model package group, newest first."""
        sagemaker = self.client("sagemaker")
        pages = sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self._outputs["ModelPackageGroupName"], SortBy="CreationTime", SortOrder="Descending"
        )
        listed = [item for page in pages for item in page["ModelPackageSummaryList"]]
        described = [sagemaker.describe_model_package(ModelPackageName=item["ModelPackageArn"]) for item in listed]
        return [ModelVersion.from_description(package, self._read) for package in described]

    def set_approval(self, version: ModelVersion, status: str) -> None:
        """Approves or rejects a version; where that changes its status, the deployment follows by itself."""
        self.client("sagemaker").update_model_package(ModelPackageArn=version.arn, ModelApprovalStatus=status)

    def start_deployment(self, detail: Mapping[str, str], *, name: str) -> str:
        """Starts the deployment machine itself and returns the execution's ARN; `name` is the start of its own name.

        `detail` is that of the event that would start it. Raises CommandError where the serving stack is not deployed.
        """
        started = self.client("stepfunctions").start_execution(
            stateMachineArn=self.serving_outputs()["DeployStateMachineArn"],
            name=f"{name}-{uuid.uuid4()}",
            input=json.dumps({"detail": detail}),
        )
        return str(started["executionArn"])

    def stop_scaling(self, endpoint: str) -> None:
        """Removes an endpoint's scalable target, with its policy and alarms; that there is none is no error."""
        try:
            self.client("application-autoscaling").deregister_scalable_target(
                ServiceNamespace="sagemaker",
                ResourceId=f"endpoint/{endpoint}/variant/AllTraffic",
                ScalableDimension="sagemaker:variant:DesiredInstanceCount",
            )
        except ClientError as error:
            # Only an autoscaled endpoint has one.
            if "No scalable target" not in str(error):
                raise

    def _read(self, uri: str) -> str | None:
        try:
            return read_text(self.client("s3"), uri)
        except LocalRunError:
            return None  # somebody deleted it


@contextmanager
def service_errors_in_one_line() -> Iterator[None]:
    """Turns what boto3 raises into a CommandError that says what to do."""
    try:
        yield
    except NoCredentialsError as error:
        raise CommandError("no AWS credentials found: sign in first, for instance with `aws sso login`") from error
    except (BotoCoreError, ClientError) as error:
        raise CommandError(" ".join(str(error).split())) from error


def _send(s3: Any, bucket: str, files: Sequence[tuple[str, Path]]) -> None:
    """Puts files in one piece each, so that their ETags are their MD5; a failure or Ctrl-C drops what has not begun."""

    def put(item: tuple[str, Path]) -> None:
        with item[1].open("rb") as body:
            s3.put_object(Bucket=bucket, Key=item[0], Body=body)

    pool = ThreadPoolExecutor(_UPLOAD_THREADS)
    try:
        for _ in pool.map(put, files):
            pass
    finally:
        pool.shutdown(cancel_futures=True)


def _remove(s3: Any, bucket: str, keys: Sequence[str]) -> None:
    for begin in range(0, len(keys), _DELETE_BATCH):
        batch = [{"Key": key} for key in keys[begin : begin + _DELETE_BATCH]]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        if errors := answer.get("Errors"):
            raise CommandError(f"s3://{bucket}/{errors[0]['Key']} could not be removed: {errors[0]['Message']}")


def _listing(s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"]: item["ETag"].strip('"') for page in pages for item in page.get("Contents", [])}


def _etag(path: Path) -> str:
    """The ETag of an object that was put in one piece and encrypted by S3: its MD5."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
