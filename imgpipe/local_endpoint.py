"""The endpoint on this machine, as commands use it."""

from __future__ import annotations

from typing import Any

import boto3

from imgpipe.errors import CommandError
from imgpipe.project import HOME, environment_settings
from local.endpoint import control
from local.endpoint.control import EndpointControl
from local.endpoint.state import endpoint_directory


def running_endpoint(env: str) -> EndpointControl:
    """The endpoint of an environment; raises CommandError where none runs."""
    found = control.running(endpoint_directory(HOME, env))
    if found is None:
        raise CommandError(
            f"no local endpoint runs for environment {env}: `imgpipe endpoint --local --start --env {env}` brings the "
            "newest approved version back, `imgpipe approve VERSION --local` deploys one"
        )
    return found


def local_runtime(env: str) -> tuple[Any, str]:
    """boto3's sagemaker-runtime in front of the local endpoint, and the endpoint's name; needs no credentials."""
    record = running_endpoint(env).record
    session = boto3.Session(
        aws_access_key_id="local", aws_secret_access_key="local", region_name=environment_settings(env).region
    )
    return session.client("sagemaker-runtime", endpoint_url=record.url), record.name
