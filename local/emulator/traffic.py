"""How a blue/green deployment moves traffic: the shares of the new fleet, and how long each is watched.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-blue-green.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PERCENT: Final = 100
Deployment = Mapping[str, Any]  # DeploymentConfig of UpdateEndpoint


def shares(deployment: Deployment, *, instances: int) -> list[float]:
    """The new fleet's shares of the traffic, step by step, the last of them 1."""
    routing = _routing(deployment)
    kind = routing.get("Type", "ALL_AT_ONCE")
    if kind == "CANARY":
        return [_share(routing["CanarySize"], instances), 1.0]
    if kind == "LINEAR":
        step = _share(routing["LinearStepSize"], instances)
        steps: list[float] = []
        while (share := step * (len(steps) + 1)) < 1:
            steps.append(share)
        return [*steps, 1.0]
    return [1.0]


def bake_seconds(deployment: Deployment, *, last: bool) -> float:
    """How long the alarms are watched after a step; after the last it is as long as the old fleet stays."""
    policy = deployment.get("BlueGreenUpdatePolicy", {})
    if last:
        return float(policy.get("TerminationWaitInSeconds", 0))
    return float(_routing(deployment).get("WaitIntervalInSeconds", 0))


def rollback_alarms(deployment: Deployment) -> list[str]:
    """The names of the alarms that roll the deployment back."""
    return [item["AlarmName"] for item in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", ())]


def _routing(deployment: Deployment) -> Mapping[str, Any]:
    routing: Mapping[str, Any] = deployment.get("BlueGreenUpdatePolicy", {}).get("TrafficRoutingConfiguration", {})
    return routing


def _share(size: Mapping[str, Any], instances: int) -> float:
    whole = _PERCENT if size["Type"] == "CAPACITY_PERCENT" else instances
    return min(1.0, float(size["Value"]) / whole)
