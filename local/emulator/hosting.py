"""What runs the fleets of the emulated account's endpoints, and moto's endpoint actions led there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from moto.core.responses import ActionResult
from moto.sagemaker.exceptions import ValidationError
from moto.sagemaker.models import SageMakerModelBackend
from moto.sagemaker.responses import SageMakerResponse
from moto.sagemakerruntime.responses import SageMakerRuntimeResponse

from local.emulator.replaced import replaced

if TYPE_CHECKING:
    from local.emulator.endpoints import Endpoints

Answer = tuple[int, dict[str, str], bytes]  # status, headers and body, as sagemaker-runtime answers over HTTP


@dataclass(frozen=True, kw_only=True)
class FleetRequest:
    """What a fleet runs: a model's container, for one endpoint configuration; `capture_percent` of it is recorded."""

    endpoint: str
    configuration: str
    variant: str
    model: str
    image_uri: str
    model_data_uri: str
    environment: Mapping[str, str] = field(default_factory=dict)
    capture_percent: int = 0

    @classmethod
    def of(
        cls, backend: Any, endpoint: str, configuration: Mapping[str, Any], variant: Mapping[str, Any]
    ) -> FleetRequest:
        """From what the account knows; a container that names a model package takes image and data from it."""
        container = backend.describe_model(variant["ModelName"]).primary_container
        source = dict(container)
        if package := container.get("ModelPackageName"):
            described = backend.describe_model_package(package)
            [source] = described.inference_specification["Containers"]
        capture = configuration.get("DataCaptureConfig") or {}
        return cls(
            endpoint=endpoint,
            configuration=configuration["EndpointConfigName"],
            variant=variant["VariantName"],
            model=variant["ModelName"],
            image_uri=source["Image"],
            model_data_uri=source["ModelDataUrl"],
            environment={**source.get("Environment", {}), **container.get("Environment", {})},
            capture_percent=capture["InitialSamplingPercentage"] if capture.get("EnableCapture") else 0,
        )


@dataclass(frozen=True, kw_only=True)
class ServedRequest:
    """A request that reached a container, which answered with `status`; None while it is under way.

    `model_seconds` is what the container took, `overhead_seconds` what came on top; `seen` is the moment that this is
    of, in seconds since the epoch.
    """

    variant: str
    status: int | None
    model_seconds: float
    overhead_seconds: float
    seen: float


class Hosting(Protocol):
    """Runs fleets; an endpoint's requests go to them by their shares."""

    def launch(self, request: FleetRequest) -> str:
        """Starts a fleet and returns its id at once."""
        ...

    def wait_ready(self, fleet: str) -> str | None:
        """Waits until a fleet answers its pings; returns the reason where it never will."""
        ...

    def route(self, endpoint: str, shares: Mapping[str, float]) -> None:
        """Splits an endpoint's requests between fleets; the shares add up to 1."""
        ...

    def served(self, endpoint: str) -> Sequence[ServedRequest]:
        """The requests that were answered since the last call, and those that have been under way since before it."""
        ...

    def stop(self, fleet: str) -> None:
        """Ends a fleet."""
        ...

    def close(self, endpoint: str) -> None:
        """Ends an endpoint with all of its fleets."""
        ...

    def invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Hands a request of InvokeEndpoint on."""
        ...


@contextmanager
def hosted_endpoints(endpoints: Endpoints) -> Iterator[None]:
    """While open, the actions around endpoints do what they do in the service, and InvokeEndpoint reaches a fleet."""
    create, delete = SageMakerModelBackend.create_endpoint, SageMakerModelBackend.delete_endpoint
    create_model, create_configuration = (
        SageMakerModelBackend.create_model,
        SageMakerModelBackend.create_endpoint_config,
    )
    invoke = SageMakerRuntimeResponse.invoke_endpoint

    def create_hosted(self: Any, endpoint_name: str, *arguments: Any, **named: Any) -> Any:
        _refuse_existing("endpoint", self.endpoints.get(endpoint_name))
        endpoint = create(self, endpoint_name, *arguments, **named)
        endpoints.created(endpoint)
        return endpoint

    def delete_hosted(self: Any, endpoint_name: str) -> None:
        endpoints.refuse_busy(endpoint_name)
        delete(self, endpoint_name)
        endpoints.deleted(endpoint_name)

    def create_new_model(self: Any, model_name: str, *arguments: Any, **named: Any) -> Any:
        _refuse_existing("model", self._models.get(model_name))
        return create_model(self, model_name, *arguments, **named)

    def create_new_configuration(self: Any, endpoint_config_name: str, *arguments: Any, **named: Any) -> Any:
        _refuse_existing("endpoint configuration", self.endpoint_configs.get(endpoint_config_name))
        return create_configuration(self, endpoint_config_name, *arguments, **named)

    def update(self: Any) -> ActionResult:
        name, configuration = self._get_param("EndpointName"), self._get_param("EndpointConfigName")
        endpoint = endpoints.update(name, configuration, self._get_param("DeploymentConfig"))
        return ActionResult({"EndpointArn": endpoint.arn})

    def invoke_hosted(self: Any) -> Any:
        if endpoints.hosting is None:
            return invoke(self)
        status, headers, body = endpoints.hosting.invoke(self.path.split("/")[2], dict(self.headers), _bytes(self.body))
        return status, {**headers, "status": status}, body  # moto takes the status of the headers

    with ExitStack() as stack:
        backend = {
            "create_endpoint": create_hosted,
            "delete_endpoint": delete_hosted,
            "create_model": create_new_model,
            "create_endpoint_config": create_new_configuration,
        }
        stack.enter_context(replaced(SageMakerModelBackend, **backend))
        stack.enter_context(replaced(SageMakerResponse, update_endpoint=update))
        # An image is no text, and moto would decode it as such.
        stack.enter_context(replaced(SageMakerRuntimeResponse, invoke_endpoint=invoke_hosted, use_raw_body=True))
        yield


def _refuse_existing(kind: str, found: Any) -> None:
    if found is not None:
        arn = getattr(found, "endpoint_config_arn", None) or found.arn  # moto's other ARN of a configuration is a tuple
        raise ValidationError(message=f'Cannot create already existing {kind} "{arn}".')


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body)
