"""Endpoints of the emulated account: created, shifted to new configurations and rolled back, on fleets that run."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from moto.cloudwatch.models import cloudwatch_backends
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import FakeEndpoint, sagemaker_backends

from local.emulator.baking import Bakery, RolledBack
from local.emulator.clock import AccountTime, Clock
from local.emulator.endpoint_metrics import NAMESPACE, metric_data
from local.emulator.hosting import FleetRequest, Hosting
from local.emulator.traffic import bake_seconds, rollback_alarms, shares
from local.errors import LocalRunError

_BUSY: Final = ("Creating", "Updating", "RollingBack", "Deleting")
_JOIN_SECONDS: Final = 20.0
Shares = Mapping[str, float]


class Endpoints:
    """What happens to the endpoints of one account; `hosting` None means that no fleet runs, as in plain moto."""

    def __init__(
        self, *, account: str, region: str, clock: Clock, time: AccountTime, emit: Callable[..., None]
    ) -> None:
        self._backend = sagemaker_backends[account][region]
        self._cloudwatch = cloudwatch_backends[account][region]
        self._time, self._emit = time, emit
        self._fleets: dict[str, str] = {}  # by endpoint: the fleet that serves
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._bakery = Bakery(self._cloudwatch, clock=clock, time=time, closing=self._closing)
        self.hosting: Hosting | None = None
        self.error: Exception | None = None  # what the last change failed of, for a traceback

    def created(self, endpoint: FakeEndpoint) -> None:
        """Brings a new endpoint into service, in a thread of its own."""
        self._begin(endpoint, "Creating", self._create)

    def restored(self, name: str, fleet: str) -> None:
        """Says which fleet serves an endpoint that was created anew for one that lives already."""
        self._fleets[name] = fleet

    def update(self, name: str, configuration: str, deployment: Mapping[str, Any] | None) -> FakeEndpoint:
        """UpdateEndpoint; raises moto's ValidationError where the service refuses."""
        self.refuse_busy(name)
        endpoint = self._backend.endpoints[name]
        self._backend.describe_endpoint_config(configuration)
        endpoint.pending_deployment_summary = {"EndpointConfigName": configuration}
        self._begin(endpoint, "Updating", self._update, configuration, deployment or {})
        return endpoint

    def refuse_busy(self, name: str) -> None:
        """Raises moto's ValidationError where something changes an endpoint at the moment."""
        endpoint = self._find(name)
        if endpoint.endpoint_status in _BUSY:
            raise ValidationError(message=f'Cannot update in-progress endpoint "{endpoint.arn}".')

    def deleted(self, name: str) -> None:
        """Ends the fleet of an endpoint that was deleted."""
        self._fleets.pop(name, None)
        if self.hosting:  # though no fleet serves: one that failed has left its process
            self.hosting.close(name)

    def live(self) -> dict[str, str]:
        """The fleet of each endpoint that serves."""
        return dict(self._fleets)

    def publish_requests(self) -> None:
        """Puts what the endpoints that live were asked into CloudWatch; its alarms then know how they did so far."""
        for name in self._fleets:
            self._publish(self._backend.endpoints[name])

    def close(self) -> None:
        """Waits until nothing changes any more; what is in the middle of a change is rolled back first."""
        self._closing.set()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)

    def _begin(self, endpoint: FakeEndpoint, status: str, work: Callable[..., None], *arguments: Any) -> None:
        if self.hosting is None:
            if work == self._update:
                self._settle(endpoint, arguments[0])
            return
        self._set(endpoint, status)
        thread = threading.Thread(target=self._carry_out, args=(endpoint, work, *arguments), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _carry_out(self, endpoint: FakeEndpoint, work: Callable[..., None], *arguments: Any) -> None:
        """Runs a change in its thread: whatever stops it, whoever polls the endpoint hears of it at once."""
        try:
            work(endpoint, *arguments)
        except Exception as error:
            self.error = error
            self._fleets.pop(endpoint.endpoint_name, None)
            self._set(endpoint, "Failed", _reason(error))

    def _create(self, endpoint: FakeEndpoint) -> None:
        fleet = self._launch(endpoint, endpoint.endpoint_config_name)
        self._route(endpoint, {fleet: 1.0})
        self._fleets[endpoint.endpoint_name] = fleet
        self._set(endpoint, "InService")

    def _update(self, endpoint: FakeEndpoint, configuration: str, deployment: Mapping[str, Any]) -> None:
        old, new = self._fleets.get(endpoint.endpoint_name), None
        try:
            new = self._launch(endpoint, configuration)
            self._shift(endpoint, configuration, deployment, old=old, new=new)
            if old:
                self._hosting.stop(old)
        except Exception as error:  # whatever it is, what served before should serve again
            self.error, reason = error, _reason(error)
            self._set(endpoint, "RollingBack", reason)
            serves = self._returned(endpoint, old=old, new=new)
            endpoint.pending_deployment_summary = None
            self._set(endpoint, "InService" if serves else "Failed", reason)
            return
        self._fleets[endpoint.endpoint_name] = new
        self._settle(endpoint, configuration)
        self._set(endpoint, "InService")

    def _returned(self, endpoint: FakeEndpoint, *, old: str | None, new: str | None) -> bool:
        """Gives the old fleet all requests again; returns whether there is one, and a process that runs it."""
        try:
            if old:
                self._route(endpoint, {old: 1.0})
            if new:
                self._hosting.stop(new)
        except Exception:  # mostly the endpoint's process has ended, and all fleets with it; the first error says so
            self._fleets.pop(endpoint.endpoint_name, None)
            return False
        return old is not None

    def _shift(
        self,
        endpoint: FakeEndpoint,
        configuration: str,
        deployment: Mapping[str, Any],
        *,
        old: str | None,
        new: str,
    ) -> None:
        """Moves the traffic step by step; the alarms are watched after each, as "Blue/Green Deployments" says."""
        [variant] = self._backend.describe_endpoint_config(configuration)["ProductionVariants"]
        self._publish(endpoint)
        self._bakery.begin_minute()
        steps = shares(deployment, instances=variant.get("InitialInstanceCount", 1)) if old else [1.0]
        for number, share in enumerate(steps):
            self._route(endpoint, {new: share} | ({old: 1.0 - share} if old and share < 1 else {}))
            self._bakery.bake(
                bake_seconds(deployment, last=number == len(steps) - 1),
                rollback_alarms(deployment),
                publish=functools.partial(self._publish, endpoint),
            )

    def _publish(self, endpoint: FakeEndpoint, minute: datetime | None = None) -> None:
        """Puts the endpoint's requests since the last time into CloudWatch: as of a minute, or of when they were."""
        name, configuration = endpoint.endpoint_name, endpoint.endpoint_config_name
        variants = self._backend.describe_endpoint_config(configuration)["ProductionVariants"]
        data = metric_data(
            name,
            self._hosting.served(name),
            instances={variant["VariantName"]: variant.get("InitialInstanceCount", 0) for variant in variants},
            when=lambda request: minute or self._time.at(request.seen),
        )
        if data:
            self._cloudwatch.put_metric_data(NAMESPACE, data)

    def _launch(self, endpoint: FakeEndpoint, configuration: str) -> str:
        described = self._backend.describe_endpoint_config(configuration)
        [variant] = described["ProductionVariants"]
        request = FleetRequest.of(self._backend, endpoint.endpoint_name, described, variant)
        fleet = self._hosting.launch(request)
        if reason := self._hosting.wait_ready(fleet):
            self._hosting.stop(fleet)
            raise RolledBack(reason)
        return fleet

    @property
    def _hosting(self) -> Hosting:
        assert self.hosting is not None
        return self.hosting

    def _route(self, endpoint: FakeEndpoint, to: Shares) -> None:
        self._hosting.route(endpoint.endpoint_name, to)

    def _settle(self, endpoint: FakeEndpoint, configuration: str) -> None:
        described = self._backend.describe_endpoint_config(configuration)
        endpoint.endpoint_config_name = configuration
        endpoint.production_variants = endpoint._process_production_variants(described["ProductionVariants"])
        endpoint.data_capture_config = described.get("DataCaptureConfig")
        endpoint.pending_deployment_summary = None

    def _find(self, name: str) -> FakeEndpoint:
        self._backend.describe_endpoint(name)  # its own error where there is none
        return self._backend.endpoints[name]

    def _set(self, endpoint: FakeEndpoint, status: str, reason: str | None = None) -> None:
        endpoint.endpoint_status, endpoint.failure_reason = status, reason
        endpoint.last_modified_time = datetime.now(timezone.utc).replace(tzinfo=None)
        detail = {
            "EndpointName": endpoint.endpoint_name,
            "EndpointArn": endpoint.arn,
            "EndpointConfigName": endpoint.endpoint_config_name,
            "EndpointStatus": status,
        } | ({"FailureReason": reason} if reason else {})
        self._emit(
            source="aws.sagemaker", kind="SageMaker Endpoint State Change", detail=detail, resources=[endpoint.arn]
        )


def _reason(error: Exception) -> str:
    """An error as a FailureReason, in one line: what was foreseen speaks for itself, of the rest the kind helps."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RolledBack | LocalRunError) else f"{type(error).__name__}: {text}"
