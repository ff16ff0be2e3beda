"""The state machines that classify: one image of S3, and all images below a prefix."""

from __future__ import annotations

from typing import Any, Final

from infra.workflows.image_states import (
    Targets,
    begin,
    catch_all,
    caught,
    failure_states,
    image_states,
    names_image,
    retry,
    skipped,
)
from infra.workflows.states import State, States, choice, present, put, sdk, task

RESULTS_PREFIX: Final = "classify/runs"

# Of the states around the map: a name may stand once in a machine, those of a map's states included.
_OUTER: Final = "Prefix"
_COUNTS: Final = ("Total", "Succeeded", "Failed")


def classify_machine(targets: Targets) -> dict[str, Any]:
    """The definition of the machine for one image.

    Input: {"s3_bucket", "s3_key"[, "s3_version_id"]}, or an event of S3. Output: the result as Filter words it, which
    is the first one that this version of the image got; of EventBridge's events of other files than images, "status"
    SKIPPED. A failure leaves a message in the failure queue and ends the execution as failed, so that both who looks
    at executions and who works off the queue see it.
    """
    # A rule's pattern cannot ask for a prefix and for suffixes of the same key, so the inbox starts for each file.
    key = "$.input.detail.object.key"
    other_file = {"And": [present(key), {"Not": names_image(key)}], "Next": "Skipped"}
    states = {
        "Begin": begin("IsImage"),
        "IsImage": choice(other_file, default="Serialize"),
        "Skipped": skipped(bucket="$.input.detail.bucket.name", key=key),
        **image_states(targets),
    }
    return {"Comment": "Classifies one image of S3", "StartAt": "Begin", "States": states}


def prefix_machine(
    targets: Targets, *, result_bucket: str, max_concurrency: int, tolerated_failure_percent: int
) -> dict[str, Any]:
    """The definition of the machine for all images below a prefix, {"s3_bucket", "s3_prefix"}.

    The prefix is a folder: `cats` means `cats/`, so that it does not take `cats-old/` too, and "" the whole bucket.
    Each image has an execution of its own, so there may be millions. Output: bucket, prefix, `objects` (how many
    succeeded, failed, there were; one that is no image is skipped, which is a success) and `results`, the place of the
    manifest of all outputs.
    """
    images = _images(targets) | {
        "MaxConcurrency": max_concurrency,
        "ToleratedFailurePercentage": float(tolerated_failure_percent),
        "ResultWriter": {
            "Resource": f"arn:{targets.partition}:states:::s3:putObject",
            "Parameters": {"Bucket": result_bucket, "Prefix": RESULTS_PREFIX},
        },
    }
    states = {
        f"Begin{_OUTER}": begin("IsFolder"),
        **_folder_states(next_state="Images"),
        "Images": images,
        **_summary_states(targets),
        # The service names the run's folder; an error does not tell it.
        **failure_states(targets, suffix=_OUTER, more={"results": {"Bucket": result_bucket, "Prefix": RESULTS_PREFIX}}),
    }
    return {"Comment": "Classifies the images below a prefix of S3", "StartAt": f"Begin{_OUTER}", "States": states}


def _folder_states(*, next_state: str) -> States:
    """Gives the prefix its slash; where it, or the bucket, is missing, the map says so in a way that is caught."""
    bucket, prefix = "$.input.s3_bucket", "$.input.s3_prefix"
    unfinished = {
        "And": [
            present(bucket),
            present(prefix),
            {"Variable": prefix, "IsString": True},
            {"Not": {"Or": [{"Variable": prefix, "StringEquals": ""}, {"Variable": prefix, "StringMatches": "*/"}]}},
        ],
        "Next": "EndWithSlash",
    }
    folder = {"s3_bucket.$": bucket, "s3_prefix.$": f"States.Format('{{}}/', {prefix})"}
    return {
        "IsFolder": choice(unfinished, default=next_state),
        "EndWithSlash": put(folder, at="$.input", next_state=next_state),
    }


def _images(targets: Targets) -> State:
    """The map, without its limits and the place of its results."""
    return {
        "Type": "Map",
        "Label": "Images",
        "ItemReader": {
            "Resource": f"arn:{targets.partition}:states:::s3:listObjectsV2",
            "Parameters": {"Bucket.$": "$.input.s3_bucket", "Prefix.$": "$.input.s3_prefix"},
        },
        "ItemSelector": {"s3_bucket.$": "$.input.s3_bucket", "s3_key.$": "$$.Map.Item.Value.Key"},
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "IsImage",
            "States": {
                "IsImage": choice(names_image("$.s3_key") | {"Next": "Begin"}, default="Skipped"),
                "Skipped": skipped(bucket="$.s3_bucket", key="$.s3_key"),
                "Begin": begin("Serialize"),
                **image_states(targets),
            },
        },
        "ResultPath": "$.run",
        "Retry": [retry("States.ItemReaderFailed", seconds=5, attempts=3)],
        "Catch": [catch_all(caught(_OUTER))],
        "Next": "Count",
    }


def _summary_states(targets: Targets) -> States:
    return {
        "Count": task(
            sdk("sfn:describeMapRun", partition=targets.partition),
            {"MapRunArn.$": "$.run.MapRunArn"},
            result_path="$.counted",
            next_state="Summary",
            catch={"States.ALL": caught(_OUTER)},
        ),
        "Summary": {
            "Type": "Pass",
            "Parameters": {
                "s3_bucket.$": "$.input.s3_bucket",
                "s3_prefix.$": "$.input.s3_prefix",
                "objects": {f"{name.lower()}.$": f"$.counted.ItemCounts.{name}" for name in _COUNTS},
                "results.$": "$.run.ResultWriterDetails",
            },
            "End": True,
        },
    }
