"""`imgpipe endpoint`: The endpoint of an environment: what it serves, its end and its return."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgpipe.errors import CommandError
from imgpipe.lines import say
from imgpipe.options import Environment
from imgpipe.project import HOME, check_environment

_REDEPLOY = {"ModelApprovalStatus": "Redeploy"}


def endpoint(
    env: Environment = "dev",
    local: Annotated[bool, typer.Option("--local", help="The endpoint on this machine.")] = False,
    start: Annotated[
        bool,
        typer.Option(
            "--start",
            help="Deploy the version that serves, or served last, again; `imgpipe approve` deploys another one.",
        ),
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Remove the endpoint; --start brings it back.")] = False,
) -> None:
    """Show the endpoint of an environment, remove it, or bring it back."""
    check_environment(env)
    if start and stop:
        raise CommandError("--start and --stop exclude each other: give one of them")
    console = Console()
    if local:
        (_start_locally if start else _stop_locally if stop else _show_locally)(env, console)
        return
    from imgpipe.deployed import service_errors_in_one_line

    with service_errors_in_one_line():
        (_start if start else _stop if stop else _show)(env, console)


def _show_locally(env: str, console: Console) -> None:
    from imgpipe.local_endpoint import running_endpoint
    from local.endpoint.capture import captured_requests
    from local.endpoint.state import capture_directory

    found = running_endpoint(env)
    status, captured = found.status(), captured_requests(capture_directory(HOME, env))
    rows = [("Endpoint", found.record.name), ("URL", found.record.url)]
    for fleet in status["serving"]:
        share = "" if fleet["share"] == 1 else f" ({fleet['share']:.0%} of the requests)"
        rows += [("Model", f"{fleet['model']}{share}"), ("Configuration", fleet["configuration"])]
        if restarts := fleet.get("restarts"):
            rows += [("Restarted", f"{restarts} times, for its container had ended: see `imgpipe errors --local`")]
        rows += [("Captured", f"{captured} requests, {fleet['capture_percent']} % of them from now on")]
    rows += [("Process", str(found.record.host.pid)), ("Last request", f"{status['idle_seconds']:.0f} s ago")]
    _print(console, rows)


def _stop_locally(env: str, console: Console) -> None:
    from imgpipe.interruption import interrupted_by_signals
    from imgpipe.local_endpoint import running_endpoint
    from local.endpoint.state import changing

    found = running_endpoint(env)
    with changing(HOME, env), interrupted_by_signals():
        found.stop()
    say(console, f"Endpoint {found.record.name} has ended; `imgpipe endpoint --local --start` brings it back.")


def _start_locally(env: str, console: Console) -> None:
    from imgpipe.local_serving import deployed_locally, print_result
    from imgpipe.versions import registry_of
    from local.serving import redeploy_locally

    registry_of(HOME, env)  # its own error where there is no version at all
    result = deployed_locally(env, console, lambda request, observer: redeploy_locally(request, observer=observer))
    print_result(env, result, console)


def _show(env: str, console: Console) -> None:
    from imgpipe.deployed import Deployed

    deployed = Deployed(env)
    outputs = deployed.serving_outputs()
    rows = [("Endpoint", outputs["EndpointName"])]
    described = _described(deployed, outputs["EndpointName"])
    if described is None:
        rows.append(("Status", f"there is none: approve a version, or `imgpipe endpoint --start --env {env}`"))
    else:
        rows += _rows(deployed, described)
    machine = deployed.client("stepfunctions")
    latest = machine.list_executions(stateMachineArn=outputs["DeployStateMachineArn"], maxResults=1)["executions"]
    rows += [("Deployment", f"{item['name']}: {item['status']}") for item in latest]
    _print(console, rows)


def _rows(deployed: Any, described: dict[str, Any]) -> list[tuple[str, str]]:
    rows = [("Status", described["EndpointStatus"]), ("Configuration", described["EndpointConfigName"])]
    if reason := described.get("FailureReason"):
        rows.append(("Reason", reason))
    configuration = deployed.client("sagemaker").describe_endpoint_config(
        EndpointConfigName=described["EndpointConfigName"]
    )
    for variant in configuration["ProductionVariants"]:
        place = variant.get("InstanceType") or f"serverless, {variant['ServerlessConfig']['MemorySizeInMB']} MB"
        rows += [("Model", variant["ModelName"]), ("Instance", place)]
    capture = configuration.get("DataCaptureConfig", {})
    rows.append(("Captured", f"{capture.get('InitialSamplingPercentage', 0)} % of the requests"))
    return rows


def _start(env: str, console: Console) -> None:
    from imgpipe.deployed import Deployed

    deployed = Deployed(env)
    started = deployed.start_deployment(_REDEPLOY, name="redeploy")
    say(console, f"{started}\nFollow it with `imgpipe endpoint --env {env}`.")


def _stop(env: str, console: Console) -> None:
    from imgpipe.deployed import Deployed

    deployed = Deployed(env)
    name = deployed.serving_outputs()["EndpointName"]
    if _described(deployed, name) is None:
        raise CommandError(f"there is no endpoint {name}: nothing has to be removed")
    deployed.stop_scaling(name)
    deployed.client("sagemaker").delete_endpoint(EndpointName=name)
    say(console, f"Endpoint {name} is being removed; `imgpipe endpoint --start --env {env}` brings it back.")


def _described(deployed: Any, name: str) -> dict[str, Any] | None:
    from botocore.exceptions import ClientError

    try:
        described: dict[str, Any] = deployed.client("sagemaker").describe_endpoint(EndpointName=name)
    except ClientError as error:
        if "Could not find" not in str(error):
            raise
        return None
    return described


def _print(console: Console, rows: list[tuple[str, str]]) -> None:
    from imgpipe.results import print_table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for heading, value in rows:
        table.add_row(heading, Text(value))
    print_table(console, table)
