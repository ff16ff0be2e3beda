"""What the carrying out of a step needs: the account, a runtime, the images, a place for files."""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.assembly import ImageAsset
from local.containers.job import Runtime
from local.emulator.account import EmulatedAccount
from local.errors import LocalRunError
from local.executor.definition import Step
from local.executor.expressions import StepOutcome

BUILTIN_REPOSITORY = "/image-classification:"
TRAINER_IMAGE = "mxnet"


FAILURE_REASON_LIMIT = 1024  # characters, of FailureReason and ExitMessage in the service's models


class LinkedStop(threading.Event):
    """An event that is also set once another is."""

    def __init__(self, *others: threading.Event) -> None:
        super().__init__()
        self._others = others

    def is_set(self) -> bool:
        """Whether this or one of the others was set; nobody may wait for it, for they do not wake it."""
        return super().is_set() or any(other.is_set() for other in self._others)


class StepFailed(Exception):
    """A step failed; the message is its failure reason."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A step's outcome for later steps, its metadata for the listing, and where a Condition went."""

    outcome: StepOutcome = field(default_factory=StepOutcome)
    metadata: dict[str, Any] = field(default_factory=dict)
    branch: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Tools:
    """Shared by all steps of one execution."""

    account: EmulatedAccount
    runtime: Runtime
    images: tuple[ImageAsset, ...]
    directory: Path
    execution_id: str
    stop: threading.Event
    on_line: Callable[[Step, str], None]
    register: Callable[[EmulatedAccount, Mapping[str, Any]], str] = field(default_factory=lambda: create_model_package)

    def job_name(self, step: Step) -> str:
        """A job's name as Pipelines makes it; the suffix depends on execution and step alone."""
        return f"pipelines-{self.execution_id}-{step.name[:20]}-{self._suffix(step)}"

    def tuning_job_name(self, step: Step) -> str:
        """A tuning job's name as Pipelines makes it: at most 32 characters, for it begins its training jobs' names."""
        return f"{self.execution_id}-{step.name[:7]}-{self._suffix(step)}"

    def _suffix(self, step: Step) -> str:
        return hashlib.sha256(f"{self.execution_id}/{step.name}".encode()).hexdigest()[:10]

    def step_directory(self, step: Step) -> Path:
        """Where the step's container has its root."""
        return self.directory / "steps" / step.name

    def log(self, step: Step) -> Path:
        """The log file of a step."""
        return self.directory / "logs" / f"{step.name}.log"

    def drop(self, inputs: Path) -> None:
        """Removes the copy of a step's inputs once it has succeeded; they lie where they came from."""
        shutil.rmtree(inputs)

    def image(self, uri: str) -> ImageAsset:
        """The deployed image asset behind a URI.

        The built-in algorithm is stood in for by our trainer, and an image for GPUs by the one of its name without.
        """
        tag = uri.rsplit(":", 1)[-1]
        by_tag: Mapping[str, ImageAsset] = {image.tag: image for image in self.images}
        plain: Mapping[str, ImageAsset] = {image.name: image for image in self.images if not image.target}
        if tag in by_tag:
            return plain.get(by_tag[tag].name, by_tag[tag])
        if BUILTIN_REPOSITORY in uri:
            return plain[TRAINER_IMAGE]
        raise LocalRunError(f"image {uri} is neither an asset of the deployment nor the built-in image classification")


def create_model_package(account: EmulatedAccount, request: Mapping[str, Any]) -> str:
    """Creates a model package and returns its ARN."""
    return str(account.client("sagemaker").create_model_package(**request)["ModelPackageArn"])


@contextmanager
def recorded(set_status: Callable[..., None], *, stop: threading.Event) -> Iterator[None]:
    """Records a job's states while it is carried out; `set_status` takes `status` and `failure_reason`."""
    set_status(status="InProgress")
    try:
        yield
    except BaseException as error:
        stopped = stop.is_set()
        set_status(
            status="Stopped" if stopped else "Failed",
            failure_reason=None if stopped else str(error)[:FAILURE_REASON_LIMIT],
        )
        raise
    set_status(status="Completed")
