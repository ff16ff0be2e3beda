"""Deploys a model version on this machine: the environment's own state machine, in front of a local endpoint."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from local.containers.process import ProcessRuntime
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.executions import EndedExecution, follow
from local.endpoint import control, state
from local.endpoint.deployments import note_deployment
from local.endpoint.hosting import LocalHosting
from local.endpoint.record import EndpointRecord
from local.errors import LocalRunError
from local.jobs import ContainerJobs
from local.registry.account import LocalRegistry
from local.registry.store import APPROVED, RegistryStore
from local.synth import synthesise

# Outputs of the stacks that deployment needs.
ENDPOINT_OUTPUT: Final = "EndpointName"
MACHINE_OUTPUT: Final = "DeployStateMachineArn"
TOPIC_OUTPUT: Final = "NotificationTopicArn"
ARTIFACT_BUCKET_OUTPUT: Final = "ArtifactBucketName"
SUCCEEDED: Final = "SUCCEEDED"
_STACK: Final = "serving"
_REDEPLOY: Final = {"ModelApprovalStatus": "Redeploy"}


@dataclass(frozen=True, kw_only=True)
class ServingRequest:
    """An environment to deploy to, and where its files are; without a request for `idle_seconds` it ends again."""

    environment: str
    project: Path
    home: Path
    interpreters: Mapping[str, Path]
    idle_seconds: float

    @property
    def directory(self) -> Path:
        """Where the local endpoint has its files."""
        return state.endpoint_directory(self.home, self.environment)


@dataclass(frozen=True, kw_only=True)
class ServingResult:
    """How the deployment machine ended, what it told people, and the endpoint that runs now, if one does.

    `error` is what a change of the endpoint failed of, for a traceback.
    """

    execution: EndedExecution
    notifications: list[tuple[str, str]] = field(default_factory=list)
    endpoint: EndpointRecord | None = None
    error: Exception | None = None


class ServingObserver(Protocol):
    """Somebody who hears of the progress."""

    def phase(self, text: str) -> None:
        """A phase before the state machine starts."""
        ...

    def state(self, name: str) -> None:
        """The state machine has entered a state."""
        ...


def decide_locally(request: ServingRequest, *, version: int, status: str, observer: ServingObserver) -> ServingResult:
    """Approves or rejects a version of the local registry, as UpdateModelPackage does, and sees it through.

    A decision that stands already is no event; it starts the machine directly, as `imgpipe approve` does in AWS.
    """
    store = RegistryStore(request.home, request.environment)
    stored = store.version(version)

    def begin(opened: _Opened) -> str:
        store.set_approval(version, status)
        if stored.approval_status == status:
            return opened.start({"ModelApprovalStatus": status, "ModelPackageArn": stored.arn})
        before = len(opened.account.events.deliveries)
        sagemaker = opened.account.client("sagemaker")
        sagemaker.update_model_package(ModelPackageArn=stored.arn, ModelApprovalStatus=status)
        for delivery in opened.account.events.deliveries[before:]:
            if delivery.target == opened.machine and delivery.error is None:
                return str(delivery.answer)
        raise LocalRunError(f"no rule of the environment hands a version that is {status} to {opened.machine}")

    return _deploy(request, begin, observer, version=version if status == APPROVED else None)


def redeploy_locally(request: ServingRequest, *, observer: ServingObserver) -> ServingResult:
    """Deploys the version that serves, or served last, under the present settings; else the newest approved one."""
    return _deploy(request, lambda opened: opened.start(_REDEPLOY), observer)


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """An account with the environment in it."""

    account: EmulatedAccount
    outputs: Mapping[str, str]

    @property
    def machine(self) -> str:
        return self.outputs[MACHINE_OUTPUT]

    def start(self, detail: Mapping[str, str]) -> str:
        """Starts the machine with what its event would tell; returns the execution's ARN."""
        client = self.account.client("stepfunctions")
        started = client.start_execution(stateMachineArn=self.machine, input=json.dumps({"detail": detail}))
        return str(started["executionArn"])


def _deploy(
    request: ServingRequest, begin: Callable[[_Opened], str], observer: ServingObserver, *, version: int | None = None
) -> ServingResult:
    """Sees a deployment through and writes down how it ended; `version` None where the machine chooses one."""
    with state.changing(request.home, request.environment), _opened(request, observer) as opened:
        try:
            observer.phase("Deploying")
            ended = follow(opened.account, begin(opened), on_state=observer.state)
        except Exception as error:
            note_deployment(request.directory, version=version, failure=str(error) or type(error).__name__)
            raise
        finally:
            opened.account.endpoints.close()
            state.save(
                opened.account,
                request.directory,
                endpoint=opened.outputs[ENDPOINT_OUTPUT],
                bucket=opened.outputs[ARTIFACT_BUCKET_OUTPUT],
            )
        failure = None if ended.status == SUCCEEDED else ended.cause or ended.error or ended.status
        note_deployment(request.directory, version=version, failure=failure)
        told = opened.account.notifications(opened.outputs[TOPIC_OUTPUT])
        why = opened.account.endpoints.error
    found = control.running(request.directory)
    record = found.record if found else None
    return ServingResult(execution=ended, notifications=told, endpoint=record, error=why)


@contextmanager
def _opened(request: ServingRequest, observer: ServingObserver) -> Iterator[_Opened]:
    """The environment's stacks up to the serving one, with the registry and the endpoint that lives."""
    store = RegistryStore(request.home, request.environment)
    with tempfile.TemporaryDirectory(prefix="imgpipe-serving-") as folder:
        observer.phase(f"Synthesising environment {request.environment}")
        everything = synthesise(request.environment, project=request.project, outdir=Path(folder) / "cdk.out")
        assembly = everything.up_to(_STACK)
        with emulated_account(region=assembly.stacks[0].region) as account:
            observer.phase("Deploying its stacks into an emulated account")
            outputs = account.deploy(assembly)
            bucket = outputs[ARTIFACT_BUCKET_OUTPUT]
            LocalRegistry(store, bucket=bucket).restore(account)
            state.restore(account, request.directory, bucket=bucket)
            account.endpoints.hosting = LocalHosting(
                objects=account.objects,
                images=assembly.images,
                interpreters=request.interpreters,
                directory=request.directory,
                idle_seconds=request.idle_seconds,
            )
            account.endpoints.publish_requests()
            jobs = account.processing_jobs = ContainerJobs(
                account=account,
                images=assembly.images,
                runtime=ProcessRuntime(interpreters=request.interpreters),
                directory=Path(folder) / "jobs",
            )
            with closing(jobs):
                yield _Opened(account=account, outputs=outputs)
