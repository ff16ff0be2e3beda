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

    def job_name(self, step: Step) -> str:
        """A job's name as Pipelines makes it; the suffix depends on execution and step alone."""
        suffix = hashlib.sha256(f"{self.execution_id}/{step.name}".encode()).hexdigest()[:10]
        return f"pipelines-{self.execution_id}-{step.name[:20]}-{suffix}"

    def step_directory(self, step: Step) -> Path:
        """Where the step's container has its root."""
        return self.directory / "steps" / step.name

    def log(self, step: Step) -> Path:
        """The log file of a step."""
        return self.directory / "logs" / f"{step.name}.log"

    def drop(self, inputs: Path) -> None:
        """Removes the copy of a step's inputs once it has succeeded; they lie where they came from."""
        shutil.rmtree(inputs)

    @contextmanager
    def recorded(self, set_status: Callable[..., None]) -> Iterator[None]:
        """Records a job's states while it is carried out; `set_status` takes `status` and `failure_reason`."""
        set_status(status="InProgress")
        try:
            yield
        except BaseException as error:
            stopped = self.stop.is_set()
            set_status(
                status="Stopped" if stopped else "Failed",
                failure_reason=None if stopped else str(error)[:FAILURE_REASON_LIMIT],
            )
            raise
        set_status(status="Completed")

    def image(self, uri: str) -> ImageAsset:
        """The deployed image asset behind a URI; the built-in algorithm is stood in for by our trainer."""
        tag = uri.rsplit(":", 1)[-1]
        by_tag: Mapping[str, ImageAsset] = {image.tag: image for image in self.images}
        if tag in by_tag:
            return by_tag[tag]
        if BUILTIN_REPOSITORY in uri:
            return next(image for image in self.images if image.name == TRAINER_IMAGE)
        raise LocalRunError(f"image {uri} is neither an asset of the deployment nor the built-in image classification")
