"""The machine that compares what the endpoint was asked with what its model was tested on.

SelectWindow -> Compare (a processing job) -> ReadResult -> PutMetrics -> StartRetrain -> Compared, or NothingCaptured
after the first. Other hours than the last ones are compared without PutMetrics and what follows it; StartRetrain is
there where drift is to start it. A failure notifies and ends the execution as failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from infra.settings import EnvironmentSettings
from infra.workflows.states import State, States, choice, fail, sdk, task, with_cause

METRIC_NAMESPACE: Final = "imgpipe"
ENDPOINT_DIMENSION: Final = "EndpointName"
# The verdict of monitor.json that is drift.
DRIFT: Final = "drift"
# What the processing job finds below /opt/ml/processing/input -> the key of its manifest in SelectWindow's answer.
INPUTS: Final = {
    "capture": "capture",
    "baseline": "baseline",
    "ground-truth": "ground_truth",
    "history": "history",
}
# Beside the job itself: the time to get its instance.
_INSTANCE_SECONDS: Final = 3600
# More than the function's own time limit, so that its error is heard and not its silence.
SELECT_SECONDS: Final = 330
_ROOT: Final = "/opt/ml/processing"
_CAUGHT: Final = "Caught"
_FAILED: Final = {"States.ALL": _CAUGHT}
_OUTPUT: Final = {
    "OutputName": "monitor",
    "S3Output": {
        "S3Uri.$": "$.selected.window.output_uri",
        "LocalPath": f"{_ROOT}/output/monitor",
        "S3UploadMode": "EndOfJob",
    },
}
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
        # Throttling has no name of its own: it comes as the service's general exception.
        "ErrorEquals": ["SageMaker.ResourceLimitExceededException", "SageMaker.AmazonSageMakerException"],
        "IntervalSeconds": 60,
        "BackoffRate": 2,
        "MaxAttempts": 4,
        "JitterStrategy": "FULL",
    }
]
# Whatever a call that may be repeated failed with: services throttle, and S3 asks to slow down.
_ANY_RETRIES: Final = [
    {
        "ErrorEquals": ["States.TaskFailed", "States.Timeout"],
        "IntervalSeconds": 5,
        "BackoffRate": 2,
        "MaxAttempts": 4,
        "JitterStrategy": "FULL",
    }
]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What the states act on: names, ARNs and URIs, or CDK tokens of them.

    Without `start_retrain_arn` drift starts nothing.
    """

    partition: str
    select_window_arn: str
    image_uri: str
    job_role_arn: str
    bucket: str
    topic_arn: str
    start_retrain_arn: str | None = None


def monitor_machine(settings: EnvironmentSettings, targets: Targets) -> dict[str, Any]:
    """The definition. The window ends with the last whole hour, or at the input's `end` (ISO 8601)."""
    return {
        "Comment": f"Compares what {settings.endpoint_name} was asked with what its model was tested on",
        "StartAt": "SelectWindow",
        "States": {
            **_selection(targets),
            **_comparison(settings, targets),
            **_publication(targets),
            **_retraining(targets),
            "Compared": {
                "Type": "Pass",
                "Parameters": {
                    "verdict.$": "$.result.monitor.verdict",
                    "drifted.$": "$.result.monitor.drifted",
                    "report.$": "States.Format('{}/monitor.html', $.selected.window.output_uri)",
                },
                "End": True,
            },
            **with_cause(_CAUGHT, next_state="Notify"),
            "Notify": _notify(settings, targets),
            "Failed": fail("MonitorFailed", cause_path="$.error.Cause"),
        },
    }


def _selection(targets: Targets) -> States:
    return {
        "SelectWindow": task(
            f"arn:{targets.partition}:states:::lambda:invoke",
            {
                "FunctionName": targets.select_window_arn,
                "Payload": {"time.$": "$$.Execution.StartTime", "input.$": "$"},
            },
            result_path="$.selected",
            result_selector={"window.$": "$.Payload"},
            retry=_LAMBDA_RETRIES,
            timeout_seconds=SELECT_SECONDS,
            catch=_FAILED,
            next_state="AnyCaptured",
        ),
        "AnyCaptured": choice(
            {"Variable": "$.selected.window.captured", "NumericGreaterThan": 0, "Next": "Compare"},
            default="NothingCaptured",
        ),
        "NothingCaptured": {"Type": "Succeed", "OutputPath": "$.selected.window"},
    }


def _comparison(settings: EnvironmentSettings, targets: Targets) -> States:
    return {
        "Compare": task(
            f"arn:{targets.partition}:states:::sagemaker:createProcessingJob.sync",
            _job(settings, targets),
            retry=_JOB_RETRIES,
            timeout_seconds=60 * settings.monitoring.max_runtime_minutes + _INSTANCE_SECONDS,
            catch=_FAILED,
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
            retry=_ANY_RETRIES,
            catch=_FAILED,
            next_state="IsPublished",
        ),
    }


def _publication(targets: Targets) -> States:
    return {
        "IsPublished": choice(
            {"Variable": "$.selected.window.publish", "BooleanEquals": True, "Next": "PutMetrics"}, default="Compared"
        ),
        "PutMetrics": task(
            sdk("cloudwatch:putMetricData", partition=targets.partition),
            {"Namespace": METRIC_NAMESPACE, "MetricData.$": "$.result.monitor.metric_data"},
            retry=_ANY_RETRIES,
            catch=_FAILED,
            next_state="IsDrift" if targets.start_retrain_arn else "Compared",
        ),
    }


def _retraining(targets: Targets) -> States:
    """Every window that drifts asks anew, so that a start that was refused is tried again with the next one."""
    if targets.start_retrain_arn is None:
        return {}
    return {
        "IsDrift": choice(
            {"Variable": "$.result.monitor.verdict", "StringEquals": DRIFT, "Next": "StartRetrain"}, default="Compared"
        ),
        "StartRetrain": task(
            f"arn:{targets.partition}:states:::lambda:invoke",
            {
                "FunctionName": targets.start_retrain_arn,
                "Payload": {"id.$": "$$.Execution.Id", "time.$": "$$.Execution.StartTime"},
            },
            # The function recognises what it started for this execution.
            retry=_ANY_RETRIES,
            catch=_FAILED,
            next_state="Compared",
        ),
    }


def job_name_prefix(settings: EnvironmentSettings) -> str:
    """How the names of the processing jobs begin."""
    return f"{settings.prefix}-monitor"


def _job(settings: EnvironmentSettings, targets: Targets) -> dict[str, Any]:
    """The request of CreateProcessingJob: the container sees no network, and no input is empty."""
    monitoring = settings.monitoring
    return {
        "ProcessingJobName.$": "$.selected.window.job_name",
        "RoleArn": targets.job_role_arn,
        "AppSpecification": {
            "ImageUri": targets.image_uri,
            "ContainerEntrypoint": ["python", "-m", "monitor"],
            "ContainerArguments.$": _arguments(settings),
        },
        "ProcessingResources": {
            "ClusterConfig": {
                "InstanceCount": 1,
                "InstanceType": monitoring.instance_type,
                "VolumeSizeInGB": monitoring.volume_size_gb,
            }
        },
        "NetworkConfig": {"EnableNetworkIsolation": True},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60 * monitoring.max_runtime_minutes},
        "ProcessingInputs": [_input(name, key) for name, key in INPUTS.items()],
        "ProcessingOutputConfig": {"Outputs": [_OUTPUT]},
    }


def _arguments(settings: EnvironmentSettings) -> str:
    """The program's arguments as one intrinsic function, as some are settings and some the window's."""
    arguments = [
        f"'--min-records', '{settings.monitoring.min_records}'",
        f"'--endpoint', '{settings.endpoint_name}'",
        *(
            f"'--{name}', $.selected.window.{name.replace('-', '_')}"
            for name in ("version", "model-name", "start", "end", "since")
        ),
    ]
    return f"States.Array({', '.join(arguments)})"


def _input(name: str, key: str) -> dict[str, Any]:
    return {
        "InputName": name,
        "S3Input": {
            "S3Uri.$": f"$.selected.window.{key}",
            "LocalPath": f"{_ROOT}/input/{name}",
            "S3DataType": "ManifestFile",
            "S3InputMode": "File",
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
