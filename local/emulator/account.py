"""Opens an emulated AWS account and deploys a cloud assembly into it, through boto3 as CloudFormation would see it."""

from __future__ import annotations

import functools
import io
import json
import logging
import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from local.assembly import CloudAssembly, FileAsset, Stack
from local.emulator.alarms import evaluated_alarms
from local.emulator.buckets import completed_buckets
from local.emulator.clock import AccountTime, Clock
from local.emulator.cloudformation import completed_types, refuse_unknown_types
from local.emulator.endpoints import Endpoints
from local.emulator.events import EventBus, delivered_events
from local.emulator.functions import real_functions
from local.emulator.hosting import hosted_endpoints
from local.emulator.objects import ObjectStore
from local.emulator.packages import ModelPackages, completed_packages
from local.emulator.sagemaker import JobStates, completed_actions
from local.emulator.service_tasks import ProcessingJobs
from local.emulator.state_machines import CONFIG, running_state_machines
from local.emulator.tuning_jobs import TuningStates, completed_tuning_jobs
from local.errors import LocalRunError
from local.storage import all_files

_CONFIG: Final = {"lambda": {"use_docker": False}, "stepfunctions": CONFIG}
_NO_CONFIGURATION: Final = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


class EmulatedAccount:
    """An open account: boto3 clients made while it is open reach it, and nothing else."""

    def __init__(self, *, region: str, account_id: str = DEFAULT_ACCOUNT_ID, clock: Clock | None = None) -> None:
        self.region = region
        self.account_id = account_id
        self.clock = clock or Clock()
        self.time = AccountTime()
        self.events = EventBus(account=account_id, region=region, client=self.client)
        self.endpoints = Endpoints(
            account=account_id, region=region, clock=self.clock, time=self.time, emit=self.events.emit
        )
        self.processing_jobs: ProcessingJobs | None = None  # what carries out those of state machines
        self.job_states = JobStates(account=account_id, region=region)
        self.tuning_states = TuningStates(account=account_id, region=region)
        self.packages = ModelPackages(account=account_id, region=region)
        self.objects = ObjectStore(account=account_id, region=region)
        self._session = boto3.Session(region_name=region)
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """The account's client of a service; clients may be shared between threads, the making of them may not."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._session.client(service)  # type: ignore[call-overload]
            return self._clients[service]

    def notifications(self, topic_arn: str) -> list[tuple[str, str]]:
        """What was published to a topic, in order: subject (or nothing) and message."""
        sent = sns_backends[self.account_id][self.region].topics[topic_arn].sent_notifications
        return [(subject or "", message) for _, message, subject, _, _ in sent]

    def notify(self, topic_arn: str, subject: str, message: str) -> None:
        """Publishes to a topic, as services do."""
        self.client("sns").publish(TopicArn=topic_arn, Subject=subject, Message=message)

    def deploy(self, assembly: CloudAssembly) -> dict[str, str]:
        """Publishes the file assets and creates the stacks in order; returns the outputs of all of them.

        Raises LocalRunError for a resource type that the emulator does not know.
        """
        for stack in assembly.stacks:
            refuse_unknown_types(stack.name, stack.template)
        for asset in assembly.files:
            self._publish(asset)
        outputs: dict[str, str] = {}
        for stack in assembly.stacks:
            outputs |= self._create(stack)
        return outputs

    def _publish(self, asset: FileAsset) -> None:
        s3, bucket = self.client("s3"), self._fill_in(asset.bucket)
        if bucket not in {item["Name"] for item in s3.list_buckets()["Buckets"]}:
            location = {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
            s3.create_bucket(Bucket=bucket, **({} if self.region == "us-east-1" else location))
        body = _zip(asset.source) if asset.packaging == "zip" else asset.source.read_bytes()
        s3.put_object(Bucket=bucket, Key=self._fill_in(asset.key), Body=body)

    def _create(self, stack: Stack) -> dict[str, str]:
        self._bootstrap(stack.template)
        client = self.client("cloudformation")
        client.create_stack(
            StackName=stack.name,
            TemplateBody=json.dumps(stack.template),
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
        [created] = client.describe_stacks(StackName=stack.name)["Stacks"]
        if created["StackStatus"] != "CREATE_COMPLETE":
            raise LocalRunError(f"stack {stack.name} ended as {created['StackStatus']} in the local emulator")
        return {item["OutputKey"]: item["OutputValue"] for item in created.get("Outputs", [])}

    def _bootstrap(self, template: dict[str, Any]) -> None:
        """`cdk bootstrap` leaves its version in a parameter that every template asks for."""
        for parameter in template.get("Parameters", {}).values():
            if parameter["Type"] == "AWS::SSM::Parameter::Value<String>":
                self.client("ssm").put_parameter(Name=parameter["Default"], Value="99", Type="String", Overwrite=True)

    def _fill_in(self, text: str) -> str:
        values = {"AccountId": self.account_id, "Region": self.region, "Partition": "aws"}
        return functools.reduce(lambda done, item: done.replace(f"${{AWS::{item[0]}}}", item[1]), values.items(), text)


@contextmanager
def emulated_account(*, region: str, clock: Clock | None = None) -> Iterator[EmulatedAccount]:
    """An empty account for as long as the context is open; `clock` says how fast its time passes."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    logging.getLogger("moto.stepfunctions").setLevel(logging.CRITICAL)  # an execution's history says all of it
    with ExitStack() as stack:
        stack.enter_context(_without_users_configuration())
        stack.enter_context(mock_aws(config=_CONFIG))
        account = EmulatedAccount(region=region, clock=clock)
        emit = account.events.emit
        for completed in (
            completed_types(),
            completed_buckets(),
            completed_actions(),
            completed_tuning_jobs(),
            completed_packages(emit),
            delivered_events(account.events),
            evaluated_alarms(emit=emit, notify=account.notify, time=account.time),
            hosted_endpoints(account.endpoints),
        ):
            stack.enter_context(completed)
        servers = stack.enter_context(ExitStack())  # left after the functions, whose requests it answers
        endpoint = functools.cache(lambda: _serve(servers))
        stack.enter_context(real_functions(endpoint))
        machines = running_state_machines(clock=account.clock, jobs=lambda: account.processing_jobs, emit=emit)
        stack.enter_context(machines)
        stack.callback(account.endpoints.close)
        yield account


@contextmanager
def _without_users_configuration() -> Iterator[None]:
    """Hides profiles, endpoints and credentials of the machine: they would lead out of the account, or be missing."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in hidden:
        del os.environ[name]
    os.environ |= _NO_CONFIGURATION
    try:
        yield
    finally:
        for name in _NO_CONFIGURATION:
            os.environ.pop(name, None)
        os.environ |= hidden


def _serve(stack: ExitStack) -> str:
    """Serves the account on loopback for processes other than this one; started when the first one needs it."""
    from moto.server import ThreadedMotoServer  # late: it imports Flask

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    stack.callback(server.stop)
    # A bucket's name is misread from a numeric host.
    return f"http://localhost:{server.get_host_and_port()[1]}"


def _zip(directory: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in all_files(directory):
            archive.write(path, path.relative_to(directory))
    return buffer.getvalue()
