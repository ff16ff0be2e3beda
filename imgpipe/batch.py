"""Batch transform behind the command line: folders of images, a deployed execution, its results."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgpipe.deployed import Deployed
from imgpipe.errors import CommandError
from local.files import write_whole
from local.storage import all_files, split_uri

_POLL_SECONDS: Final = 15.0
_ENDED: Final = frozenset({"Succeeded", "Failed", "Stopped"})
_HASH_DIGITS: Final = 12
_SHOWN_LABELS: Final = 20


def check_image_folder(folder: Path) -> int:
    """The number of files in a folder, any depth; raises CommandError where it is none or holds none."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise CommandError(f"{folder} {what}: give a folder of images, or an S3 prefix as s3://bucket/prefix")
    files = sum(1 for _ in all_files(folder, hidden=False))
    if not files:
        raise CommandError(f"{folder} holds no file: give a folder of images")
    return files


def check_out(out: Path | None) -> None:
    """Raises CommandError where results could not be written once they are there."""
    if out is not None and out.is_dir():
        raise CommandError(f"--out {out} is a folder: give a file, for instance {out / 'predictions.csv'}")
    if out is not None and not out.parent.is_dir():
        raise CommandError(f"--out {out}: the folder {out.parent} does not exist: make it first")


def copy_predictions(content: bytes, out: Path) -> None:
    """Writes predictions.csv, whole or not at all."""
    write_whole(out, content)


class BatchDeployed(Deployed):
    """A deployed environment as one that classifies; raises CommandError where it has no pipeline `transform`."""

    def upload_images(self, folder: Path) -> str:
        """Sends a folder to a prefix of its own content's name, so that sending it again costs nothing."""
        if "BatchUri" not in self._outputs:
            raise CommandError(
                f"environment {self._environment} has no place for images to classify (stack output BatchUri): "
                "deploy it again"
            )
        digest = hashlib.sha256()
        for path in all_files(folder, hidden=False):
            digest.update(json.dumps([path.relative_to(folder).as_posix(), _file_hash(path)]).encode())
        uri = self._outputs["BatchUri"] + digest.hexdigest()[:_HASH_DIGITS]
        self.upload(folder, delete=True, uri=uri)
        return f"{uri}/"

    def wait_for_predictions(
        self, execution: str, *, on_change: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> str:
        """Waits for the end of an execution; returns the S3 URI of its predictions, without a slash at its end.

        Raises CommandError with the reason where it fails or is stopped.
        """
        seen: dict[str, str] = {}
        while True:
            description, steps = self.execution(execution, pipeline="transform")
            for step in steps:
                if seen.get(step["StepName"]) != step["StepStatus"]:
                    seen[step["StepName"]] = step["StepStatus"]
                    on_change(f"{step['StepName']:<15} {step['StepStatus'].lower()}")
            if description["PipelineExecutionStatus"] in _ENDED:
                break
            sleep(_POLL_SECONDS)
        if description["PipelineExecutionStatus"] != "Succeeded":
            reasons = [f"step {step['StepName']}: {step['FailureReason']}" for step in steps if "FailureReason" in step]
            reason = "; ".join(reasons) or description.get("FailureReason", "it was stopped")
            raise CommandError(f"execution {execution} has not succeeded: {reason}")
        [join] = [step for step in steps if step["StepName"] == "Join"]
        return self._predictions(join["Metadata"]["ProcessingJob"]["Arn"])

    def read(self, uri: str) -> bytes:
        """The bytes of an object."""
        bucket, key = split_uri(uri)
        content: bytes = self.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def summary(self, place: str) -> dict[str, Any]:
        """The content of transform.json below `place`."""
        content: dict[str, Any] = json.loads(self.read(f"{place}/transform.json"))
        return content

    def _predictions(self, job_arn: str) -> str:
        job = self.client("sagemaker").describe_processing_job(ProcessingJobName=job_arn.rsplit("/", 1)[-1])
        [output] = job["ProcessingOutputConfig"]["Outputs"]
        return str(output["S3Output"]["S3Uri"]).rstrip("/")


def print_transform(console: Console, summary: Mapping[str, Any], *, place: str, out: Path | None) -> None:
    """The labels by their number of images, what failed and why, and where the files are."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Label")
    table.add_column("Images", justify="right")
    for label, count in list(summary["labels"].items())[:_SHOWN_LABELS]:
        table.add_row(Text(label), str(count))
    if (left := len(summary["labels"]) - _SHOWN_LABELS) > 0:
        table.add_row(Text(f"... {left} more labels", "dim"), "")
    console.print(table)
    accepted = "" if summary["accepted"] is None else f", {summary['accepted']} of them above their threshold"
    lines = [f"{summary['classified']} of {summary['images']} images classified by version {summary['model_version']}"]
    lines[0] += accepted
    if summary["failed"]:
        reasons = ", ".join(f"{count} {code}" for code, count in summary["failures"].items())
        lines.append(f"{summary['failed']} not classified ({reasons}): see {place}/failures.csv")
    lines.append(f"Results: {place}")
    if out is not None:
        lines.append(f"predictions.csv: {out}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
