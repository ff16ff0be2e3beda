"""Metrics of an endpoint: names, units, dimensions and values as the service publishes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from local.emulator.endpoint_metrics import metric_data
from local.emulator.hosting import ServedRequest

NOON = datetime(2026, 1, 1, 12, 0)


def request(status: int | None, *, variant: str = "AllTraffic", minute: int = 0) -> ServedRequest:
    """A request answered at that minute after noon."""
    return ServedRequest(
        variant=variant, status=status, model_seconds=0.25, overhead_seconds=0.002, seen=60.0 * minute + 59
    )


def published(*requests: ServedRequest, instances: int = 0) -> list[dict[str, Any]]:
    def when(request: ServedRequest) -> datetime:
        minute, second = divmod(int(request.seen), 60)
        return NOON.replace(minute=minute, second=second)

    return metric_data("e", requests, instances={"AllTraffic": instances}, when=when)


# "Amazon SageMaker AI metrics in Amazon CloudWatch", endpoint invocation metrics.
@pytest.mark.parametrize(
    ("status", "errors"),
    [(200, (0, 0, 0)), (302, (0, 0, 1)), (400, (1, 0, 1)), (429, (1, 0, 1)), (500, (0, 1, 1)), (503, (0, 1, 1))],
)
def test_an_answer_is_published_with_one_or_zero_for_each_kind_of_error(
    status: int, errors: tuple[int, int, int]
) -> None:
    data = published(request(status), instances=4)
    assert {datum["MetricName"]: (datum["Values"], datum["Unit"]) for datum in data} == {
        "Invocations": ([1], "None"),
        "InvocationsPerInstance": ([0.25], "None"),
        "Invocation4XXErrors": ([errors[0]], "None"),
        "Invocation5XXErrors": ([errors[1]], "None"),
        "InvocationModelErrors": ([errors[2]], "None"),
        "ModelLatency": ([250_000], "Microseconds"),
        "OverheadLatency": ([2_000], "Microseconds"),
    }
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "AllTraffic"}]
    assert all(datum["Dimensions"] == dimensions for datum in data)


def test_serverless_variants_have_no_instances() -> None:
    assert "InvocationsPerInstance" not in {datum["MetricName"] for datum in published(request(200))}


def test_a_request_under_way_has_a_latency_alone() -> None:
    [datum] = published(request(None))
    assert (datum["MetricName"], datum["Values"]) == ("ModelLatency", [250_000])


def test_variants_and_minutes_are_kept_apart() -> None:
    data = published(request(200), request(500), request(200, minute=1), request(200, variant="Other"))
    found = {
        (datum["Dimensions"][1]["Value"], datum["Timestamp"].minute): datum["Values"]
        for datum in data
        if datum["MetricName"] == "Invocation5XXErrors"
    }
    assert found == {("AllTraffic", 0): [0, 1], ("AllTraffic", 1): [0], ("Other", 0): [0]}
    assert all(datum["Timestamp"].second == 0 for datum in data)


def test_without_requests_nothing_is_published() -> None:
    assert published() == []
