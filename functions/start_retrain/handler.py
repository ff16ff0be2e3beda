"""Starts the pipeline `retrain` when a window drifts: not too soon after the last time, and not too often."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
from botocore.config import Config

# What is started here is told from other executions by its name: the service keeps the state, no table does.
DISPLAY_NAME_START = "drift-"
# Of the token, at the end of the name: which execution of the monitor it was started for.
TOKEN_DIGITS = 12
FOUND = "the monitor found drift"
LIMIT_DAYS = 30
RUNNING = ("Executing", "Stopping")

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 5})


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Decides for one execution of the monitor that found drift: `event["id"]` is its ARN, `event["time"]` its start.

    Returns `started`, `reason`, and `execution_arn` of what was started; the same is logged and sent to the topic. One
    execution of the monitor starts one of the pipeline, however often it asks: one that was started for it already is
    told of again. Raises what boto3 raises: the monitor then tries again.
    """
    pipeline = os.environ["PIPELINE_NAME"]
    client, now = boto3.client("sagemaker", config=_CONFIG), _moment(event["time"])
    # So far back that both limits can be seen; the listing is of this pipeline alone.
    days = max(LIMIT_DAYS, int(os.environ["COOL_DOWN_DAYS"]))
    recent = _executions(client, pipeline, since=now - timedelta(days=days))
    token = _token(event)
    name = f"{DISPLAY_NAME_START}{now:%Y-%m-%d}-{token[:TOKEN_DIGITS]}"
    arn = next(
        (item["PipelineExecutionArn"] for item in recent if item.get("PipelineExecutionDisplayName") == name), None
    )
    reason = None if arn else _why_not(recent, now)
    if reason is None and arn is None:
        arn = client.start_pipeline_execution(
            PipelineName=pipeline,
            PipelineExecutionDisplayName=name,
            PipelineExecutionDescription=f"Started by {event['id']}: {FOUND}",
            ClientRequestToken=token,
        )["PipelineExecutionArn"]
    result = {"started": arn is not None, "reason": reason or FOUND, "execution_arn": arn}
    print(json.dumps({"level": "INFO", "message": "drift", "pipeline": pipeline, **result}, sort_keys=True))
    _notify(pipeline, result)
    return result


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(str(text).replace("Z", "+00:00")).astimezone(timezone.utc)


def _token(event: dict[str, Any]) -> str:
    """A text that is the same for each try of an execution of the monitor (32 to 128 characters)."""
    return hashlib.sha256(str(event["id"]).encode()).hexdigest()


def _executions(client: Any, pipeline: str, *, since: datetime) -> list[dict[str, Any]]:
    pages = client.get_paginator("list_pipeline_executions").paginate(
        PipelineName=pipeline, CreatedAfter=since, SortBy="CreationTime", SortOrder="Descending"
    )
    return [item for page in pages for item in page["PipelineExecutionSummaries"]]


def _why_not(recent: list[dict[str, Any]], now: datetime) -> str | None:
    """Why nothing is to be started, or None; a started execution counts, whatever became of it."""
    running = next((item for item in recent if item["PipelineExecutionStatus"] in RUNNING), None)
    if running:
        return f"{running['PipelineExecutionArn']} is running"
    ours = [item for item in recent if item.get("PipelineExecutionDisplayName", "").startswith(DISPLAY_NAME_START)]
    cool_down, limit = timedelta(days=int(os.environ["COOL_DOWN_DAYS"])), int(os.environ["MONTHLY_LIMIT"])
    newest = max((item["StartTime"] for item in ours), default=None)
    if newest is not None and now - newest < cool_down:
        return (
            f"the last start was at {newest.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC, and there are "
            f"{cool_down.days} days between two (monitoring.retrain_cool_down_days)"
        )
    month = [item for item in ours if now - item["StartTime"] < timedelta(days=LIMIT_DAYS)]
    if len(month) >= limit:
        return f"{len(month)} starts within {LIMIT_DAYS} days are the limit (monitoring.retrain_monthly_limit)"
    return None


def _notify(pipeline: str, result: dict[str, Any]) -> None:
    started = f"started: {result['execution_arn']}" if result["started"] else f"not started: {result['reason']}"
    boto3.client("sns", config=_CONFIG).publish(
        TopicArn=os.environ["TOPIC_ARN"],
        Subject=f"{pipeline} {'started' if result['started'] else 'not started'}"[:100],
        Message=f"Drift was found at the endpoint. {pipeline} was {started}.",
    )
