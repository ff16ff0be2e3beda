"""Carries out a Training step: one training job."""

from __future__ import annotations

from typing import Any

from local.executor.definition import Step
from local.executor.expressions import StepOutcome
from local.executor.tools import Done, Tools
from local.executor.training_job import TrainingJob, run_training_job


def run_training(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Runs the step's training job; later steps may refer to its description."""
    job = TrainingJob(
        name=tools.job_name(step),
        arguments=arguments,
        root=tools.step_directory(step),
        log=tools.log(step),
        stop=tools.stop,
        on_line=lambda line: tools.on_line(step, line),
    )
    trained = run_training_job(job, tools)
    return Done(
        outcome=StepOutcome(properties=trained.description),
        metadata={"TrainingJob": {"Arn": trained.description["TrainingJobArn"]}},
    )
