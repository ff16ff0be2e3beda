"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer


class RuntimeChoice(str, Enum):
    """How containers run: Docker where it answers, or as plain processes."""

    auto = "auto"
    process = "process"
    docker = "docker"


class PipelineChoice(str, Enum):
    """The pipelines of an environment, see local.pipeline.PIPELINE_OUTPUTS."""

    train = "train"
    tune = "tune"
    retrain = "retrain"
    transform = "transform"


Environment = Annotated[str, typer.Option("--env", help="Environment: a file of environments/.")]
Pipeline = Annotated[PipelineChoice, typer.Option("--pipeline", help="Which of the environment's pipelines.")]
Local = Annotated[bool, typer.Option("--local", help="Versions that local runs registered, in place of deployed ones.")]
Params = Annotated[list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A pipeline parameter.")]
