"""A pipeline as the account has it: its definition read back, and the start of an execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from local.emulator.account import EmulatedAccount
from local.errors import LocalRunError
from local.executor.definition import Definition

_DEFAULT_PARALLEL_STEPS = 4  # the service has 50; this is one machine
# The pipelines of an environment, and the stack outputs that name them.
PIPELINE_OUTPUTS: Final = {
    "train": "TrainPipelineName",
    "tune": "TunePipelineName",
    "retrain": "RetrainPipelineName",
    "transform": "TransformPipelineName",
}


def deployed_name(pipeline: str, outputs: Mapping[str, str]) -> str:
    """The name under which the account knows a pipeline; raises LocalRunError naming the allowed ones."""
    if pipeline not in PIPELINE_OUTPUTS:
        raise LocalRunError(f"pipeline {pipeline!r} is unknown: use one of {', '.join(PIPELINE_OUTPUTS)}")
    output = PIPELINE_OUTPUTS[pipeline]
    if output not in outputs:
        raise LocalRunError(f"the environment has no pipeline {pipeline} (stack output {output}): deploy it again")
    return outputs[output]


@dataclass(frozen=True, kw_only=True)
class StartedExecution:
    """An execution that the account knows, and that somebody has to carry out."""

    arn: str
    started: datetime

    @property
    def id(self) -> str:
        """The last part of the ARN."""
        return self.arn.rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class DeployedPipeline:
    """One pipeline of an account."""

    account: EmulatedAccount
    name: str
    arn: str
    definition: Definition
    max_parallel_steps: int

    @classmethod
    def read(cls, account: EmulatedAccount, name: str) -> DeployedPipeline:
        """Raises LocalRunError where the definition cannot be understood."""
        described = account.client("sagemaker").describe_pipeline(PipelineName=name)
        limits = described.get("ParallelismConfiguration", {})
        return cls(
            account=account,
            name=name,
            arn=described["PipelineArn"],
            definition=Definition.parse(described["PipelineDefinition"]),
            max_parallel_steps=limits.get("MaxParallelExecutionSteps", _DEFAULT_PARALLEL_STEPS),
        )

    def start(self, parameters: Mapping[str, str]) -> StartedExecution:
        """Starts an execution with the given parameters changed."""
        sagemaker = self.account.client("sagemaker")
        arn = sagemaker.start_pipeline_execution(
            PipelineName=self.name,
            PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
        )["PipelineExecutionArn"]
        described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        return StartedExecution(arn=arn, started=described["CreationTime"])

    def execution_values(self, execution: StartedExecution) -> dict[str, str]:
        """What `Get` of Execution.<name> answers. Times are in the form of ISO 8601."""
        return {
            "PipelineExecutionId": execution.id,
            "PipelineExecutionArn": execution.arn,
            "PipelineName": self.name,
            "PipelineArn": self.arn,
            "StartDateTime": execution.started.isoformat(),
            "CurrentDateTime": execution.started.isoformat(),
        }
