"""The machine that compares what the endpoint was asked with what its model was tested on.

SelectWindow -> Compare (a processing job) -> ReadResult -> PutMetrics -> Compared, or NothingCaptured after the first.
A failure notifies and ends the execution as failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from infra.settings import EnvironmentSettings
from infra.workflows.states import State, choice, fail, sdk, task

METRIC_NAMESPACE: Final = "imgpipe"
ENDPOINT_DIMENSION: Final = "EndpointName"
# What the processing job finds below /opt/ml/processing/input -> the key of its manifest in SelectWindow's answer.
INPUTS: Final = {
    "capture": "capture",
    "baseline": "baseline",
    "ground-truth": "ground_truth",
    "history": "history",
}
JOB_SECONDS: Final = 4 * 3600
# The job itself, and the time to get its instance.
_COMPARE_SECONDS: Final = JOB_SECONDS + 3600
_VOLUME_GB: Final = 30
_ROOT: Final = "/opt/ml/processing"
# Lambda's own errors: "Best practices for Step Functions", transient Lambda service exceptions.
_LAMBDA_RETRIES: Final = [
    {
        "ErrorEquals": [
            "Lambda.ServiceException",
            "Lambda.AWSLambdaException",
            "Lambda.SdkClientException",
            "Lambda.TooManyRequestsException",
        ],
        "IntervalSeconds": 2,
        "BackoffRate": 2,
        "MaxAttempts": 4,
        "JitterStrategy": "FULL",
    }
]
_JOB_RETRIES: Final = [
    {
        "ErrorEquals": ["SageMaker.ResourceLimitExceededException", "SageMaker.ThrottlingException"],
        "IntervalSeconds": 60,
        "BackoffRate": 2,
        "MaxAttempts": 4,
        "JitterStrategy": "FULL",
    }
]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the states act on: names, ARNs and URIs, or CDK tokens of them."""

    partition: str
    select_window_arn: str
    image_uri: str
    job_role_arn: str
    bucket: str
    topic_arn: str


def monitor_machine(settings: EnvironmentSettings, targets: Targets) -> dict[str, Any]:
    """The definition. The window ends with the last whole hour, or at the input's `end` (ISO 8601)."""
    failed = {"States.ALL": "Notify"}
    states: dict[str, State] = {
        "SelectWindow": task(
            f"arn:{targets.partition}:states:::lambda:invoke",
            {
                "FunctionName": targets.select_window_arn,
                "Payload": {"time.$": "$$.Execution.StartTime", "input.$": "$"},
            },
            result_path="$.selected",
            result_selector={"window.$": "$.Payload"},
            retry=_LAMBDA_RETRIES,
            catch=failed,
            next_state="AnyCaptured",
        ),
        "AnyCaptured": choice(
            {"Variable": "$.selected.window.captured", "NumericGreaterThan": 0, "Next": "Compare"},
            default="NothingCaptured",
        ),
        "NothingCaptured": {"Type": "Succeed", "OutputPath": "$.selected.window"},
        "Compare": task(
            f"arn:{targets.partition}:states:::sagemaker:createProcessingJob.sync",
            _job(settings, targets),
            retry=_JOB_RETRIES,
            timeout_seconds=_COMPARE_SECONDS,
            catch=failed,
            next_state="ReadResult",
        ),
        "ReadResult": task(
            sdk("s3:getObject", partition=targets.partition),
            {
                "Bucket": targets.bucket,
                "Key.$": "States.Format('{}/monitor.json', $.selected.window.output_prefix)",
            },
            result_path="$.result",
            result_selector={"monitor.$": "States.StringToJson($.Body)"},
            catch=failed,
            next_state="PutMetrics",
        ),
        "PutMetrics": task(
            sdk("cloudwatch:putMetricData", partition=targets.partition),
            {"Namespace": METRIC_NAMESPACE, "MetricData.$": "$.result.monitor.metric_data"},
            catch=failed,
            next_state="Compared",
        ),
        "Compared": {
            "Type": "Pass",
            "Parameters": {
                "verdict.$": "$.result.monitor.verdict",
                "drifted.$": "$.result.monitor.drifted",
                "report.$": "States.Format('{}/monitor.html', $.selected.window.output_uri)",
            },
            "End": True,
        },
        "Notify": _notify(settings, targets),
        "Failed": fail("MonitorFailed", cause_path="$.error.Cause"),
    }
    return {
        "Comment": f"Compares what {settings.endpoint_name} was asked with what its model was tested on",
        "StartAt": "SelectWindow",
        "States": states,
    }


def job_name_prefix(settings: EnvironmentSettings) -> str:
    """How the names of the processing jobs begin."""
    return f"{settings.prefix}-monitor"


def _job(settings: EnvironmentSettings, targets: Targets) -> dict[str, Any]:
    """The request of CreateProcessingJob: the container sees no network, and no input is empty."""
    arguments = ", ".join(
        [
            f"'--min-records', '{settings.monitoring.min_records}'",
            f"'--endpoint', '{settings.endpoint_name}'",
            *(f"'--{name}', $.selected.window.{name}" for name in ("version", "start", "end", "since")),
        ]
    )
    return {
        "ProcessingJobName.$": "$.selected.window.job_name",
        "RoleArn": targets.job_role_arn,
        "AppSpecification": {
            "ImageUri": targets.image_uri,
            "ContainerEntrypoint": ["python", "-m", "monitor"],
            "ContainerArguments.$": f"States.Array({arguments})",
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": settings.monitoring.instance_type,
                "VolumeSizeInGB": _VOLUME_GB,
            }
        },
        "NetworkConfig": {"EnableNetworkIsolation": True},
        "StoppingCondition": {"MaxRuntimeInSeconds": JOB_SECONDS},
        "ProcessingInputs": [
            {
                "InputName": name,
                "S3Input": {
                    "S3Uri.$": f"$.selected.window.{key}",
                    "LocalPath": f"{_ROOT}/input/{name}",
                    "S3DataType": "ManifestFile",
                    "S3InputMode": "File",
                },
            }
            for name, key in INPUTS.items()
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "monitor",
                    "S3Output": {
                        "S3Uri.$": "$.selected.window.output_uri",
                        "LocalPath": f"{_ROOT}/output/monitor",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
    }


def _notify(settings: EnvironmentSettings, targets: Targets) -> State:
    """Tells of the failure; where even that fails, the execution's own state and its alarm remain."""
    return task(
        sdk("sns:publish", partition=targets.partition),
        {
            "TopicArn": targets.topic_arn,
            "Subject": f"The monitor of {settings.endpoint_name} failed",
            "Message.$": "States.Format('Execution {}: {} {}', $$.Execution.Id, $.error.Error, $.error.Cause)",
        },
        next_state="Failed",
    )
