"""What SageMaker publishes of an endpoint's requests, per variant, in CloudWatch.

https://docs.aws.amazon.com/sagemaker/latest/dg/monitoring-cloudwatch.html#cloudwatch-metrics-endpoint-invocation
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from local.emulator.clock import minute_of
from local.emulator.hosting import ServedRequest

NAMESPACE: Final = "AWS/SageMaker"
_LATENCIES: Final = ("ModelLatency", "OverheadLatency")
_MICROSECONDS: Final = 1_000_000
_SUCCESS, _CLIENT_ERRORS, _SERVER_ERRORS = range(200, 300), range(400, 500), range(500, 600)


def metric_data(
    endpoint: str,
    requests: Iterable[ServedRequest],
    *,
    instances: Mapping[str, int],
    when: Callable[[ServedRequest], datetime],
) -> list[dict[str, Any]]:
    """MetricData of PutMetricData: a datum for each metric, variant and minute, with the value of each request.

    `instances` are those of each variant, of which serverless ones have none; `when` says when a request counts.
    """
    values: dict[tuple[str, str, datetime], list[float]] = defaultdict(list)
    for request in requests:
        for name, value in _values(request, instances=instances.get(request.variant, 0)).items():
            values[name, request.variant, minute_of(when(request))].append(value)
    return [
        {
            "MetricName": name,
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
            "Timestamp": minute,
            "Values": found,
            "Unit": "Microseconds" if name in _LATENCIES else "None",
        }
        for (name, variant, minute), found in values.items()
    ]


def _values(request: ServedRequest, *, instances: int) -> dict[str, float]:
    """One request's value of each metric; one that is under way has the latency that it has reached."""
    model = {"ModelLatency": request.model_seconds * _MICROSECONDS}
    if request.status is None:
        return model
    return {
        **model,
        "OverheadLatency": request.overhead_seconds * _MICROSECONDS,
        "Invocations": 1.0,
        "Invocation4XXErrors": float(request.status in _CLIENT_ERRORS),
        "Invocation5XXErrors": float(request.status in _SERVER_ERRORS),
        "InvocationModelErrors": float(request.status not in _SUCCESS),
    } | ({"InvocationsPerInstance": 1 / instances} if instances else {})
