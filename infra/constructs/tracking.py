"""What the execution role needs so that executions are tracked: SageMaker Experiments, and MLflow."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam

from infra.constructs.job_names import NAMED_AFTER_TUNING, NAMED_BY_SERVICE, STEP_JOBS, TUNING_JOBS, sagemaker_arns
from infra.constructs.statements import allow
from infra.nag import acknowledge_wildcard

# Logging, and nothing that deletes or registers: "Actions, resources, and condition keys for Amazon SageMaker with
# MLflow" in the service authorization reference.
_MLFLOW_ACTIONS = tuple(
    f"sagemaker-mlflow:{action}"
    for action in (
        "CreateExperiment",
        "CreateRun",
        "GetExperiment",
        "GetExperimentByName",
        "GetMetricHistory",
        "GetRun",
        "ListArtifacts",
        "LogBatch",
        "LogInputs",
        "LogMetric",
        "LogParam",
        "SearchExperiments",
        "SearchRuns",
        "SetExperimentTag",
        "SetTag",
        "UpdateRun",
    )
)
# An MLflow app asks for these as well, whatever is called: AWS's managed policies for SageMaker name them together.
_MLFLOW_APP_ACTIONS = ("sagemaker:CallMlflowAppApi", "sagemaker:DescribeMlflowApp")


def experiment_statements(role: iam.Role, experiments: Sequence[str]) -> list[iam.PolicyStatement]:
    """Experiments by name, trials by the id of their execution, trial components by the name of their job.

    Resource types and AddTags as the dependent action: service authorization reference. Describe, because the service
    creates experiment and trial only where they do not exist ("Amazon SageMaker Experiments Integration").
    """
    if not experiments:
        return []
    named = sagemaker_arns(role, "experiment", *experiments)
    trials = sagemaker_arns(role, "experiment-trial", "*")
    components = sagemaker_arns(role, "experiment-trial-component", *TUNING_JOBS)
    acknowledge_wildcard(
        role, trials[0], reason="A trial is named by the id of its execution, which the service makes up."
    )
    for arn, name in zip(components, TUNING_JOBS, strict=True):
        acknowledge_wildcard(role, arn, reason=NAMED_BY_SERVICE if name == STEP_JOBS else NAMED_AFTER_TUNING)
    tag = "sagemaker:AddTags"
    return [
        allow("CreateExperiments", ["sagemaker:CreateExperiment", "sagemaker:DescribeExperiment", tag], named),
        allow("CreateTrials", ["sagemaker:CreateTrial", tag], [*named, *trials]),
        allow("DescribeTrials", ["sagemaker:DescribeTrial"], trials),
        allow(
            "RecordJobs",
            [
                "sagemaker:CreateTrialComponent",
                "sagemaker:UpdateTrialComponent",
                "sagemaker:DescribeTrialComponent",
                tag,
            ],
            components,
        ),
        allow("RecordJobsInTrials", ["sagemaker:AssociateTrialComponent"], [*trials, *components]),
    ]


def mlflow_statements(server_arn: str | None) -> list[iam.PolicyStatement]:
    """Logging to one tracking server or app."""
    if server_arn is None:
        return []
    app = _MLFLOW_APP_ACTIONS if ":mlflow-app/" in server_arn else ()
    return [allow("LogToMlflow", [*_MLFLOW_ACTIONS, *app], [server_arn])]
