"""Endpoints of the emulated account: created, shifted, rolled back, removed, on fleets that a double runs."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.clock import Clock
from local.emulator.hosting import Answer, FleetRequest, ServedRequest
from local.emulator.traffic import bake_seconds, rollback_alarms, shares
from local.errors import LocalRunError

ROLE = "arn:aws:iam::123456789012:role/endpoint"
WAIT_SECONDS = 30


class Fleets:
    """Hosting whose fleets are names: ready unless their model is bad, and answering with their name."""

    def __init__(self) -> None:
        self.requests: dict[str, FleetRequest] = {}
        self.routes: list[dict[str, float]] = []
        self.running: set[str] = set()
        self.hold = threading.Event()
        self.hold.set()
        # What is asked in a minute of the account, by the shares of the fleets.
        self.asked: Callable[[dict[str, float]], list[ServedRequest]] = lambda shares: []

    def launch(self, request: FleetRequest) -> str:
        self.requests[request.configuration] = request
        self.running.add(request.configuration)
        return request.configuration

    def wait_ready(self, fleet: str) -> str | None:
        assert self.hold.wait(WAIT_SECONDS)
        return "it does not answer its ping" if "bad" in self.requests[fleet].model else None

    def route(self, endpoint: str, shares: Mapping[str, float]) -> None:
        self.routes.append(dict(shares))

    def served(self, endpoint: str) -> list[ServedRequest]:
        return self.asked(self.routes[-1])

    def stop(self, fleet: str) -> None:
        self.running.remove(fleet)

    def close(self, endpoint: str) -> None:
        self.running.clear()

    def invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Answer:
        headers = {"Content-Type": "text/plain", "x-Amzn-Invoked-Production-Variant": "AllTraffic"}
        return 200, headers, "/".join(self.routes[-1]).encode() + b":" + body


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region="us-east-1", clock=Clock(scale=0.001)) as opened:
        yield opened


@pytest.fixture
def fleets(account: EmulatedAccount) -> Fleets:
    account.endpoints.hosting = hosting = Fleets()
    return hosting


def configure(account: EmulatedAccount, name: str) -> str:
    sagemaker = account.client("sagemaker")
    container = {"Image": "image:tag", "ModelDataUrl": "s3://b/m.tar.gz", "Environment": {"A": "1"}}
    sagemaker.create_model(ModelName=f"model-{name}", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": f"model-{name}",
        "InstanceType": "ml.c5.large",
        "InitialInstanceCount": 2,
    }
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 30,
        "DestinationS3Uri": "s3://b/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}],
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], DataCaptureConfig=capture)
    return name


def create(account: EmulatedAccount, configuration: str = "one") -> dict[str, Any]:
    account.client("sagemaker").create_endpoint(EndpointName="e", EndpointConfigName=configure(account, configuration))
    return settled(account)


def settled(account: EmulatedAccount) -> dict[str, Any]:
    """The endpoint once nothing changes it any more."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        described: dict[str, Any] = account.client("sagemaker").describe_endpoint(EndpointName="e")
        if described["EndpointStatus"] not in ("Creating", "Updating", "RollingBack"):
            return described
    raise AssertionError(described)


def update(account: EmulatedAccount, configuration: str, **deployment: Any) -> None:
    request = {"EndpointName": "e", "EndpointConfigName": configuration}
    account.client("sagemaker").update_endpoint(**request, **({"DeploymentConfig": deployment} if deployment else {}))


def canary(bake: int, *alarms: str) -> dict[str, Any]:
    size = {"Type": "CAPACITY_PERCENT", "Value": 25}
    routing = {"Type": "CANARY", "WaitIntervalInSeconds": bake, "CanarySize": size}
    return {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": bake},
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarms]},
    }


def test_an_endpoint_comes_into_service_and_answers(account: EmulatedAccount, fleets: Fleets) -> None:
    assert create(account)["EndpointStatus"] == "InService"
    request = fleets.requests["one"]
    assert (request.image_uri, request.model_data_uri, request.capture_percent) == ("image:tag", "s3://b/m.tar.gz", 30)
    assert request.environment == {"A": "1"}
    answer = account.client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"x")
    assert (answer["Body"].read(), answer["ContentType"]) == (b"one:x", "text/plain")
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_a_container_that_takes_image_and_data_from_a_model_package(account: EmulatedAccount, fleets: Fleets) -> None:
    sagemaker = account.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    container = {"Image": "package:tag", "ModelDataUrl": "s3://b/package.tar.gz"}
    types = {"SupportedContentTypes": ["image/png"], "SupportedResponseMIMETypes": ["application/json"]}
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="g", InferenceSpecification={"Containers": [container], **types}
    )["ModelPackageArn"]
    source = {"ModelPackageName": arn, "Environment": {"IMGPIPE_MODEL_NAME": "m"}}
    sagemaker.create_model(ModelName="m", PrimaryContainer=source, ExecutionRoleArn=ROLE)
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 1024}}
    variant["ServerlessConfig"] |= {"MaxConcurrency": 1}  # type: ignore[operator]
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert settled(account)["EndpointStatus"] == "InService"
    assert fleets.requests["c"].image_uri == "package:tag"
    assert fleets.requests["c"].model_data_uri == "s3://b/package.tar.gz"
    assert fleets.requests["c"].environment == {"IMGPIPE_MODEL_NAME": "m"}
    assert fleets.requests["c"].capture_percent == 0


def test_a_first_endpoint_that_does_not_answer_has_failed(account: EmulatedAccount, fleets: Fleets) -> None:
    described = create(account, "bad")
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"] == "it does not answer its ping"
    assert fleets.running == set()


def test_traffic_moves_by_the_canary_and_the_old_fleet_ends(account: EmulatedAccount, fleets: Fleets) -> None:
    create(account)
    update(account, configure(account, "two"), **canary(20, "quiet"))
    assert settled(account)["EndpointConfigName"] == "two"
    assert fleets.routes == [{"one": 1.0}, {"two": 0.25, "one": 0.75}, {"two": 1.0}]
    assert fleets.running == {"two"}


def test_until_it_is_done_an_update_is_pending_and_nothing_else_may_change_it(
    account: EmulatedAccount, fleets: Fleets
) -> None:
    create(account)
    configure(account, "two")
    fleets.hold.clear()
    update(account, "two")
    described = account.client("sagemaker").describe_endpoint(EndpointName="e")
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("Updating", "one")
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == "two"
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        update(account, "two")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        account.client("sagemaker").delete_endpoint(EndpointName="e")
    fleets.hold.set()
    assert "PendingDeploymentSummary" not in settled(account)


def test_an_alarm_rolls_back_to_the_old_fleet(account: EmulatedAccount, fleets: Fleets) -> None:
    create(account)
    cloudwatch = account.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName="alarm",
        Namespace="n",
        MetricName="m",
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Period=60,
        Threshold=0,
    )
    configure(account, "two")
    fleets.hold.clear()
    update(account, "two", **canary(1000, "alarm"))
    cloudwatch.put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}])
    fleets.hold.set()
    described = settled(account)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "one")
    assert "Alarm alarm is in ALARM" in described["FailureReason"]
    assert fleets.routes[-1] == {"one": 1.0}
    assert fleets.running == {"one"}


def requests(
    *, count: int = 20, failed: int = 0, seconds: float = 0.01, ago: float = 0.0, refused: int = 0
) -> list[ServedRequest]:
    """Requests of one minute: the first `failed` with 500, the next `refused` with 400, all of them so slow."""
    statuses = [500] * failed + [400] * refused + [200] * (count - failed - refused)
    return [
        ServedRequest(
            variant="AllTraffic",
            status=status,
            model_seconds=seconds,
            overhead_seconds=0.001,
            seen=time.time() - ago,
        )
        for status in statuses
    ]


def put_alarm(account: EmulatedAccount, metric: str, threshold: float, **fields: Any) -> str:
    """An alarm as the template has it: two minutes of three above the threshold, silence is none."""
    dimensions = {"EndpointName": "e", "VariantName": "AllTraffic"}
    account.client("cloudwatch").put_metric_alarm(
        AlarmName=metric,
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=3,
        DatapointsToAlarm=2,
        Period=60,
        Threshold=threshold,
        TreatMissingData="notBreaching",
        **fields or {"Statistic": "Average"},
    )
    return metric


@pytest.fixture
def guards(account: EmulatedAccount) -> list[str]:
    """Alarms on more than 5 % of 5xx, and on more than a second."""
    return [
        put_alarm(account, "Invocation5XXErrors", 0.05),
        put_alarm(account, "ModelLatency", 1_000_000, ExtendedStatistic="p99"),
    ]


def states(account: EmulatedAccount) -> dict[str, str]:
    described = account.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"]: alarm["StateValue"] for alarm in described}


@pytest.mark.parametrize(
    ("bad", "alarm"),
    [
        ({"failed": 2}, "Invocation5XXErrors"),
        ({"seconds": 1.5}, "ModelLatency"),
    ],
)
@pytest.mark.parametrize("bake", [180, 300, 600])
def test_a_new_fleet_that_fails_or_is_slow_is_rolled_back(
    account: EmulatedAccount, fleets: Fleets, guards: list[str], bad: dict[str, Any], alarm: str, bake: int
) -> None:
    create(account)
    fleets.asked = lambda shares: requests(**bad) if "two" in shares else requests()
    update(account, configure(account, "two"), **canary(bake, *guards))
    described = settled(account)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "one")
    assert f"Alarm {alarm} is in ALARM" in described["FailureReason"]
    assert fleets.routes == [{"one": 1.0}, {"two": 0.25, "one": 0.75}, {"one": 1.0}], "found with the canary's share"
    assert fleets.running == {"one"}
    assert states(account) == {guard: "ALARM" if guard == alarm else "OK" for guard in guards}


@pytest.mark.parametrize("usual", [{}, {"failed": 1}, {"refused": 20}, {"seconds": 0.9}, {"count": 0}])
def test_a_new_fleet_within_the_thresholds_takes_over(
    account: EmulatedAccount, fleets: Fleets, guards: list[str], usual: dict[str, Any]
) -> None:
    create(account)
    fleets.asked = lambda shares: requests(**usual)
    update(account, configure(account, "two"), **canary(300, *guards))
    assert settled(account)["EndpointConfigName"] == "two"
    assert states(account) == dict.fromkeys(guards, "OK"), "minutes without requests are within them, too"


def test_one_bad_minute_does_not_roll_back(account: EmulatedAccount, fleets: Fleets, guards: list[str]) -> None:
    create(account)
    minutes = iter([requests(failed=20, seconds=5)])
    fleets.asked = lambda shares: next(minutes, requests()) if "two" in shares else requests()
    update(account, configure(account, "two"), **canary(300, *guards))
    assert settled(account)["EndpointConfigName"] == "two"


def test_what_is_under_way_throughout_two_minutes_is_slow(
    account: EmulatedAccount, fleets: Fleets, guards: list[str]
) -> None:
    create(account)
    hanging = ServedRequest(variant="AllTraffic", status=None, model_seconds=2.0, overhead_seconds=0, seen=time.time())
    fleets.asked = lambda shares: [hanging] if "two" in shares else []
    update(account, configure(account, "two"), **canary(300, *guards))
    assert "Alarm ModelLatency is in ALARM" in settled(account)["FailureReason"]
    assert datapoints(account, "Invocations") == [], "it is no answer yet"


def test_an_alarm_knows_what_the_old_fleet_answered_before(
    account: EmulatedAccount, fleets: Fleets, guards: list[str]
) -> None:
    create(account)
    account.endpoints.publish_requests()
    assert set(states(account).values()) == {"INSUFFICIENT_DATA"}
    fleets.asked = lambda shares: [*requests(failed=5, ago=60), *requests(failed=5, ago=120), *requests(ago=180)]
    account.endpoints.publish_requests()
    assert states(account) == {"Invocation5XXErrors": "ALARM", "ModelLatency": "OK"}


def datapoints(account: EmulatedAccount, metric: str, statistic: str = "Sum") -> list[float]:
    """The statistic of each minute, in order."""
    now, hour = account.time.now(), timedelta(hours=1)
    found = account.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=metric,
        Dimensions=[{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "AllTraffic"}],
        StartTime=now - hour,
        EndTime=now + hour,
        Period=60,
        Statistics=[statistic],
    )["Datapoints"]
    return [item[statistic] for item in sorted(found, key=lambda item: item["Timestamp"])]


def test_each_minute_of_a_bake_has_the_requests_that_were_answered_in_it(
    account: EmulatedAccount, fleets: Fleets
) -> None:
    create(account)
    numbers = itertools.count(1)
    fleets.asked = lambda shares: requests(count=next(numbers))
    update(account, configure(account, "two"), **canary(180, "quiet"))
    assert settled(account)["EndpointConfigName"] == "two"
    assert datapoints(account, "Invocations") == [1, 2, 3, 4, 5, 6, 7], "one before, twice three minutes"


def test_a_new_fleet_that_does_not_answer_leaves_the_old_one(account: EmulatedAccount, fleets: Fleets) -> None:
    create(account)
    update(account, configure(account, "bad"))
    described = settled(account)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "one")
    assert fleets.running == {"one"}


class Dead(Fleets):
    """Hosting whose process ends: from then on nothing answers."""

    ended = False

    def _ask(self) -> None:
        if self.ended:
            raise LocalRunError("the local endpoint e does not answer")

    def launch(self, request: FleetRequest) -> str:
        self._ask()
        return super().launch(request)

    def wait_ready(self, fleet: str) -> str | None:
        self._ask()
        return super().wait_ready(fleet)

    def route(self, endpoint: str, shares: Mapping[str, float]) -> None:
        self._ask()
        super().route(endpoint, shares)

    def served(self, endpoint: str) -> list[ServedRequest]:
        self._ask()
        return super().served(endpoint)

    def stop(self, fleet: str) -> None:
        self._ask()
        super().stop(fleet)


@pytest.mark.parametrize("call", ["launch", "wait_ready", "route", "served", "stop"])
def test_a_process_that_ends_during_a_deployment_fails_the_endpoint(
    account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    account.endpoints.hosting = hosting = Dead()
    create(account)
    original = getattr(hosting, call)

    def ending(*arguments: Any) -> Any:
        hosting.ended = True
        return original(*arguments)

    monkeypatch.setattr(hosting, call, ending)
    update(account, configure(account, "two"))
    described = settled(account)
    assert described["EndpointStatus"] == "Failed"
    assert "the local endpoint e does not answer" in described["FailureReason"]
    assert account.endpoints.live() == {}


@pytest.mark.parametrize("call", ["wait_ready", "route"])
def test_a_process_that_ends_at_its_beginning_fails_the_endpoint(
    account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    account.endpoints.hosting = hosting = Dead()

    def ending(*arguments: Any) -> Any:
        raise LocalRunError("the local endpoint e does not answer")

    monkeypatch.setattr(hosting, call, ending)
    described = create(account)
    assert (described["EndpointStatus"], account.endpoints.live()) == ("Failed", {})
    assert described["FailureReason"] == "the local endpoint e does not answer"


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Threads that end by an exception, which would be printed as a traceback, fail the test."""
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    yield
    assert raised == []


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("call", ["launch", "wait_ready", "route"])
def test_whatever_goes_wrong_at_its_beginning_fails_the_endpoint_at_once(
    account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch, fleets: Fleets, call: str
) -> None:
    def broken(*arguments: Any) -> Any:
        raise TypeError("TarFile.extractall() got an\nunexpected keyword argument 'filter'")

    monkeypatch.setattr(fleets, call, broken)
    described = create(account)
    assert (described["EndpointStatus"], account.endpoints.live()) == ("Failed", {})
    assert described["FailureReason"] == "TypeError: TarFile.extractall() got an unexpected keyword argument 'filter'"
    assert isinstance(account.endpoints.error, TypeError), "for a traceback"


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("call", ["launch", "wait_ready", "route"])
def test_whatever_goes_wrong_in_an_update_the_old_fleet_serves_again(
    account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch, fleets: Fleets, call: str
) -> None:
    create(account)
    original, calls = getattr(fleets, call), itertools.count()

    def broken_once(*arguments: Any) -> Any:
        if next(calls) == 0:
            raise EOFError("the archive ends too early")
        return original(*arguments)

    monkeypatch.setattr(fleets, call, broken_once)
    update(account, configure(account, "two"))
    described = settled(account)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "one")
    assert described["FailureReason"] == "EOFError: the archive ends too early"
    assert "PendingDeploymentSummary" not in described
    assert account.endpoints.live() == {"e": "one"}


@pytest.mark.usefixtures("untraced")
def test_an_update_that_cannot_be_undone_fails_the_endpoint(
    account: EmulatedAccount, monkeypatch: pytest.MonkeyPatch, fleets: Fleets
) -> None:
    create(account)

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("no more threads")

    monkeypatch.setattr(fleets, "route", broken)
    update(account, configure(account, "two"))
    described = settled(account)
    assert (described["EndpointStatus"], account.endpoints.live()) == ("Failed", {})
    assert described["FailureReason"] == "RuntimeError: no more threads"


def test_removing_a_failed_endpoint_ends_its_process(account: EmulatedAccount, fleets: Fleets) -> None:
    create(account, "bad")
    fleets.running.add("what is left")
    account.client("sagemaker").delete_endpoint(EndpointName="e")
    assert fleets.running == set()


def test_a_removed_endpoint_has_no_fleet(account: EmulatedAccount, fleets: Fleets) -> None:
    create(account)
    account.client("sagemaker").delete_endpoint(EndpointName="e")
    assert fleets.running == set()
    assert account.endpoints.live() == {}


@pytest.mark.parametrize("kind", ["model", "endpoint configuration", "endpoint"])
def test_names_are_given_once(account: EmulatedAccount, fleets: Fleets, kind: str) -> None:
    create(account)
    sagemaker = account.client("sagemaker")
    variants = [{"VariantName": "AllTraffic", "ModelName": "model-one"}]
    calls = {
        "model": lambda: sagemaker.create_model(ModelName="model-one", ExecutionRoleArn=ROLE),
        "endpoint configuration": lambda: sagemaker.create_endpoint_config(
            EndpointConfigName="one", ProductionVariants=variants
        ),
        "endpoint": lambda: sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="one"),
    }
    with pytest.raises(ClientError, match=f"Cannot create already existing {kind} "):
        calls[kind]()


def test_changes_of_the_status_are_events(account: EmulatedAccount, fleets: Fleets) -> None:
    sqs, events = account.client("sqs"), account.client("events")
    sqs.create_queue(QueueName="q")
    events.put_rule(Name="r", EventPattern='{"detail-type": ["SageMaker Endpoint State Change"]}')
    events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": "arn:aws:sqs:us-east-1:123456789012:q"}])
    create(account)
    statuses = [item.content["detail"]["EndpointStatus"] for item in account.events.deliveries]
    assert statuses[0] == "Creating"


def test_without_hosting_an_endpoint_is_only_described(account: EmulatedAccount) -> None:
    assert create(account)["EndpointStatus"] == "InService"
    update(account, configure(account, "two"))
    assert settled(account)["EndpointConfigName"] == "two"


def routing(kind: str, **fields: Any) -> dict[str, Any]:
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": kind, **fields}}}


@pytest.mark.parametrize(
    ("deployment", "steps"),
    [
        ({}, [1.0]),
        (routing("ALL_AT_ONCE"), [1.0]),
        (routing("CANARY", CanarySize={"Type": "CAPACITY_PERCENT", "Value": 10}), [0.1, 1.0]),
        (routing("CANARY", CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}), [0.25, 1.0]),
        (routing("LINEAR", LinearStepSize={"Type": "INSTANCE_COUNT", "Value": 1}), [0.25, 0.5, 0.75, 1.0]),
        (routing("LINEAR", LinearStepSize={"Type": "CAPACITY_PERCENT", "Value": 40}), [0.4, 0.8, 1.0]),
    ],
)
def test_shares_of_the_traffic(deployment: dict[str, Any], steps: list[float]) -> None:
    assert shares(deployment, instances=4) == pytest.approx(steps)


def test_how_long_and_by_which_alarms_a_deployment_is_watched() -> None:
    deployment = canary(300, "a", "b")
    deployment["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] = 60
    assert (bake_seconds(deployment, last=False), bake_seconds(deployment, last=True)) == (300, 60)
    assert rollback_alarms(deployment) == ["a", "b"]
    assert bake_seconds({}, last=True) == 0
