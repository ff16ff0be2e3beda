"""`imgpipe approve`: Approves or rejects a model version; the deployment follows by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from imgpipe.errors import CommandError
from imgpipe.lines import say
from imgpipe.options import Environment, Local
from imgpipe.project import HOME, check_environment

if TYPE_CHECKING:
    from imgpipe.versions import ModelVersion

# Metadata of a version that can be served.
_SERVED = ("sample_uri",)


def approve(
    version: Annotated[int, typer.Argument(help="Number of the model version.")],
    env: Environment = "dev",
    local: Local = False,
    reject: Annotated[
        bool, typer.Option("--reject", help="Reject it instead; the newest approved one takes over.")
    ] = False,
    no_deploy: Annotated[
        bool, typer.Option("--no-deploy", help="With --local: write the decision down alone, deploy nothing.")
    ] = False,
) -> None:
    """Approve a model version: it becomes the champion, the base that retraining starts from, and is deployed.

    One that is approved already is deployed again, whatever serves now.
    """
    check_environment(env)
    status, console = "Rejected" if reject else "Approved", Console()
    if no_deploy and not local:
        raise CommandError("--no-deploy goes with --local: in AWS the approval itself starts the deployment")
    if local:
        _approve_locally(env, version, status, deploy=not no_deploy, console=console)
        return
    from imgpipe.deployed import service_errors_in_one_line

    with service_errors_in_one_line():
        _approve_deployed(env, version, status, console)


def _approve_deployed(env: str, version: int, status: str, console: Console) -> None:
    from imgpipe import versions
    from imgpipe.deployed import Deployed

    deployed = Deployed(env)
    chosen = versions.pick(deployed.versions(), version)
    # An update that changes nothing need not be an event, so nobody would hear of it.
    already = chosen.approval_status == status
    if not already:
        deployed.set_approval(chosen, status)
    if not deployed.has_serving():
        say(console, f"{chosen.arn}: {status}")
        say(console, f"Environment {env} has no serving stack, so nothing is deployed: `make deploy ENV={env}`.")
        return
    if already:
        detail = {"ModelApprovalStatus": status, "ModelPackageArn": chosen.arn}
        started = deployed.start_deployment(detail, name=f"v{version}-{status.lower()}")
        say(console, f"{_decided(chosen, status, already=True)}: {started}")
    else:
        say(console, _decided(chosen, status, already=False))
    machine = deployed.serving_outputs()["DeployStateMachineArn"].rsplit(":", 1)[-1]
    say(console, f"State machine {machine} takes it from here; follow it with `imgpipe endpoint --env {env}`.")


def _decided(chosen: ModelVersion, status: str, *, already: bool) -> str:
    return f"{chosen.arn}: {status}" + (" already, so the state machine is started directly" if already else "")


def _approve_locally(env: str, version: int, status: str, *, deploy: bool, console: Console) -> None:
    from imgpipe import versions
    from imgpipe.local_serving import deployed_locally, print_result
    from local.serving import decide_locally

    store = versions.registry_of(HOME, env)
    chosen = versions.pick(versions.local_versions(store), version)
    reason = "" if deploy else "nothing is deployed"
    if deploy and not _servable(chosen):
        reason = f"version {version} was registered before models were packaged for serving, nothing is deployed"
    if reason:
        store.set_approval(version, status)
        say(console, f"{chosen.arn}: {status}; {reason}")
        return
    result = deployed_locally(
        env,
        console,
        lambda request, observer: decide_locally(request, version=version, status=status, observer=observer),
    )
    say(console, _decided(chosen, status, already=chosen.approval_status == status))
    print_result(env, result, console)


def _servable(chosen: ModelVersion) -> bool:
    return all(name in chosen.metadata for name in _SERVED)
