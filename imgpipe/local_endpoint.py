"""The endpoint on this machine, as commands use it."""

from __future__ import annotations

from typing import Any

import boto3

from imgpipe.errors import CommandError
from imgpipe.errors_found import one_line
from imgpipe.project import HOME, environment_settings
from local.endpoint import control
from local.endpoint.control import EndpointControl
from local.endpoint.deployments import deployments
from local.endpoint.state import endpoint_directory
from local.registry.store import APPROVED, RegistryStore


def running_endpoint(env: str) -> EndpointControl:
    """The endpoint of an environment; raises CommandError where none runs, and why where a deployment failed."""
    found = control.running(endpoint_directory(HOME, env))
    if found is None:
        raise CommandError(
            f"no local endpoint runs for environment {env}{_failed_deployment(env)}: "
            f"`imgpipe endpoint --local --start --env {env}` brings the version back that served last, "
            "`imgpipe approve VERSION --local` deploys one"
        )
    return found


def _failed_deployment(env: str) -> str:
    """Why the newest deployment failed, in parentheses; empty where it did not."""
    [*_, ended] = [None, *deployments(endpoint_directory(HOME, env))]
    if ended is None or ended.failure is None:
        return ""
    approved = {item.version for item in RegistryStore(HOME, env).versions() if item.approval_status == APPROVED}
    what = f"version {ended.version} is approved, but its" if ended.version in approved else "the newest"
    return f" ({what} deployment failed at {ended.time.astimezone():%Y-%m-%d %H:%M}: {one_line(ended.failure)})"


def local_runtime(env: str) -> tuple[Any, str]:
    """boto3's sagemaker-runtime in front of the local endpoint, and the endpoint's name; needs no credentials."""
    record = running_endpoint(env).record
    session = boto3.Session(
        aws_access_key_id="local", aws_secret_access_key="local", region_name=environment_settings(env).region
    )
    return session.client("sagemaker-runtime", endpoint_url=record.url), record.name
