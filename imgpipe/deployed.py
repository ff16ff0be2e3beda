"""A deployed environment, through boto3: its stack outputs, its data, its executions, its models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from imgpipe.errors import CommandError
from imgpipe.project import DEFAULT_PROJECT, environment_file
from local.executor.definition import Definition
from local.storage import read_text, split_uri

_UPLOAD_THREADS = 16


@dataclass(frozen=True, kw_only=True)
class UploadResult:
    """How many files were sent, were there already, and were removed."""

    sent: int
    unchanged: int
    removed: int


class Deployed:
    """The deployed stacks of an environment; raises CommandError where there are none."""

    def __init__(self, environment: str) -> None:
        settings = environment_file(environment)
        self._environment = environment
        self._region = settings["region"]
        self._stack = f"{settings.get('project', DEFAULT_PROJECT)}-{environment}-training"
        self._outputs = self._read_outputs()

    def _client(self, service: str) -> Any:
        return boto3.client(service, region_name=self._region)  # type: ignore[call-overload]

    def _read_outputs(self) -> Mapping[str, str]:
        try:
            [stack] = self._client("cloudformation").describe_stacks(StackName=self._stack)["Stacks"]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            raise CommandError(
                f"environment {self._environment} is not deployed in {self._region} (no stack {self._stack}): "
                f"run `make deploy ENV={self._environment}`"
            ) from error
        return {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}

    @property
    def data_uri(self) -> str:
        """Where the pipeline looks for class folders unless told otherwise."""
        return self._outputs["DatasetUri"].rstrip("/")

    def upload(self, folder: Path, *, delete: bool) -> UploadResult:
        """Sends the files that are new or changed; with `delete`, removes objects that the folder does not hold."""
        s3, (bucket, prefix) = self._client("s3"), split_uri(self.data_uri)
        present = _listing(s3, bucket, f"{prefix}/")
        local = {f"{prefix}/{path.relative_to(folder).as_posix()}": path for path in _visible_files(folder)}
        changed = [(key, path) for key, path in local.items() if present.get(key) != _etag(path)]
        with ThreadPoolExecutor(_UPLOAD_THREADS) as pool:
            list(pool.map(lambda item: s3.put_object(Bucket=bucket, Key=item[0], Body=item[1].read_bytes()), changed))
        removed = sorted(present.keys() - local.keys()) if delete else []
        for key in removed:
            s3.delete_object(Bucket=bucket, Key=key)
        return UploadResult(sent=len(changed), unchanged=len(local) - len(changed), removed=len(removed))

    def start(self, parameters: Mapping[str, str]) -> str:
        """Starts an execution and returns its ARN; unknown names and wrong types are refused first."""
        sagemaker, pipeline = self._client("sagemaker"), self._outputs["PipelineName"]
        definition = sagemaker.describe_pipeline(PipelineName=pipeline)["PipelineDefinition"]
        Definition.parse(definition).parameter_values(parameters)
        given = [{"Name": name, "Value": value} for name, value in parameters.items()]
        answer = sagemaker.start_pipeline_execution(PipelineName=pipeline, PipelineParameters=given)
        return str(answer["PipelineExecutionArn"])

    def execution(self, execution_id: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """An execution (the newest without an id) and its steps in order of their start."""
        sagemaker, pipeline = self._client("sagemaker"), self._outputs["PipelineName"]
        listed = sagemaker.list_pipeline_executions(
            PipelineName=pipeline, SortBy="CreationTime", SortOrder="Descending"
        )
        arns = [item["PipelineExecutionArn"] for item in listed["PipelineExecutionSummaries"]]
        chosen = [arn for arn in arns if execution_id in (None, arn, arn.rsplit("/", 1)[-1])]
        if not chosen:
            what = f"execution {execution_id} is not among the newest" if execution_id else "there is no execution yet"
            raise CommandError(f"{what} of {pipeline}: start one with `imgpipe start --env {self._environment}`")
        description = sagemaker.describe_pipeline_execution(PipelineExecutionArn=chosen[0])
        steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=chosen[0], SortOrder="Ascending")
        return description, steps["PipelineExecutionSteps"]

    def models(self) -> list[dict[str, Any]]:
        """The versions in the model package group, newest first: version, arn, approval_status, created, accuracy."""
        sagemaker = self._client("sagemaker")
        pages = sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=self._outputs["ModelPackageGroupName"], SortBy="CreationTime", SortOrder="Descending"
        )
        listed = [item for page in pages for item in page["ModelPackageSummaryList"]]
        return [self._model(sagemaker, item["ModelPackageArn"]) for item in listed]

    def _model(self, sagemaker: Any, arn: str) -> dict[str, Any]:
        package = sagemaker.describe_model_package(ModelPackageName=arn)
        statistics = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {})
        evaluation = json.loads(read_text(self._client("s3"), statistics["S3Uri"])) if statistics else None
        return {
            "version": package["ModelPackageVersion"],
            "arn": arn,
            "approval_status": package["ModelApprovalStatus"],
            "created": package["CreationTime"],
            "accuracy": evaluation["metrics"]["accuracy"]["value"] if evaluation else None,
        }


@contextmanager
def service_errors_in_one_line() -> Iterator[None]:
    """Turns what boto3 raises into a CommandError that says what to do."""
    try:
        yield
    except NoCredentialsError as error:
        raise CommandError("no AWS credentials found: sign in first, for instance with `aws sso login`") from error
    except (BotoCoreError, ClientError) as error:
        raise CommandError(" ".join(str(error).split())) from error


def _visible_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _listing(s3: Any, bucket: str, prefix: str) -> dict[str, str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"]: item["ETag"].strip('"') for page in pages for item in page.get("Contents", [])}


def _etag(path: Path) -> str:
    """The ETag of an object that was put in one piece and encrypted by S3: its MD5."""
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
