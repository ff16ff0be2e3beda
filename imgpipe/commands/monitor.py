"""`imgpipe monitor`: Compares what the endpoint saw with what its model was tested on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from imgpipe.errors import CommandError
from imgpipe.options import Environment
from imgpipe.project import HOME, INTERPRETERS, ROOT, check_environment, environment_settings

if TYPE_CHECKING:
    from local.monitoring import MonitoringResult

_VERDICTS = {"drift": "Drift", "no_drift": "No drift", "too_few": "Too few images for a comparison"}
_SUCCEEDED = "SUCCEEDED"


def monitor(
    env: Environment = "dev",
    local: Annotated[
        bool, typer.Option("--local", help="Look at what the endpoint on this machine captured, up to now.")
    ] = False,
) -> None:
    """Compare what the environment's endpoint was asked with what its model was tested on.

    Drift is a finding, not a failure: the exit code is 0 whatever the verdict, and 1 where the comparison failed.
    """
    check_environment(env)
    console = Console()
    if local:
        _monitor_locally(env, console)
    else:
        _start(env, console)


def _monitor_locally(env: str, console: Console) -> None:
    from imgpipe.interruption import interrupted_by_signals
    from imgpipe.lines import say
    from local.monitoring import MonitoringRequest, monitor_locally

    request = MonitoringRequest(environment=env, project=ROOT, home=HOME, interpreters=INTERPRETERS)
    with interrupted_by_signals():
        result = monitor_locally(request, say=lambda text: say(console, text))
    print_result(result, console)


def print_result(result: MonitoringResult, console: Console) -> None:
    """Prints verdict, scores and the page's path; raises CommandError where the machine failed."""
    from imgpipe.lines import say

    for subject, message in result.notifications:
        say(console, f"Notification: {subject}\n  {message}")
    ended = result.execution
    if ended.status != _SUCCEEDED:
        raise CommandError(f"the monitor {ended.status.lower()}: {ended.cause or ended.error or 'it said no reason'}")
    if result.content is None or result.directory is None:
        reason = ended.output.get("reason") if isinstance(ended.output, dict) else None
        say(console, f"Nothing to compare: {reason or 'nothing was captured'}")
        return
    print_scores(result.content, console)
    say(console, f"Report: {result.directory / 'monitor.html'}")


def print_scores(content: dict[str, Any], console: Console) -> None:
    """Prints the verdict and scores of a monitor.json."""
    from imgpipe.lines import say

    records, accuracy = content["records"], content["accuracy"]
    say(
        console,
        f"{_VERDICTS[content['verdict']]}: {records['distinct_images']} distinct images of {records['images']} "
        f"captured, {records['needed']} needed; version {content['model_version']}",
    )
    for line in _window_lines(content):
        say(console, line)
    if content["scores"]:
        table = Table("score", "value", "threshold", "", "what changed", box=None, pad_edge=False)
        for score in content["scores"]:
            mark = "[red]drift[/red]" if score["drifted"] else "ok"
            table.add_row(
                score["name"], f"{score['value']:.3f}", f"{score['threshold']:.3f}", mark, _plain(score["detail"])
            )
        console.print(table)
    if accuracy:
        say(console, f"Live accuracy {accuracy['live']:.1%} of {accuracy['labelled']} labelled images")
    for place in content["problems"]["first"]:
        say(console, f"problem: {place}")


def _window_lines(content: dict[str, Any]) -> Iterator[str]:
    """What a person should know of the window: that it came to no verdict, and what it does not reach."""
    if undecided := content["undecided"]:
        yield (
            f"Undecided: {undecided['missing_images']} distinct images are missing; what was captured since "
            f"{undecided['since']} ({undecided['hours']:g} hours) stays part of the next window"
        )
    if left_out := content["left_out"]:
        yield f"Left out: what was captured from {left_out['start']} to {left_out['end']} never came to a verdict"


def _plain(text: str) -> str:
    """Names of classes are no markup."""
    from rich.markup import escape

    return escape(text)


def _start(env: str, console: Console) -> None:
    import boto3

    from imgpipe.deployed import service_errors_in_one_line
    from imgpipe.lines import say

    settings = environment_settings(env)
    stack = f"{settings.project}-{env}-monitoring"
    with service_errors_in_one_line():
        arn = _machine(boto3.client("cloudformation", region_name=settings.region), stack, env)
        client = boto3.client("stepfunctions", region_name=settings.region)
        execution = client.start_execution(stateMachineArn=arn, input=json.dumps({}))["executionArn"]
    say(console, execution)
    say(console, f"Follow it: aws stepfunctions describe-execution --execution-arn {execution}")


def _machine(cloudformation: Any, stack: str, env: str) -> str:
    """ARN of the deployed monitor; raises CommandError where the stack is not there."""
    from botocore.exceptions import ClientError

    try:
        [described] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise CommandError(f"there is no stack {stack}: run `make deploy ENV={env}`") from error
    outputs = {item["OutputKey"]: str(item["OutputValue"]) for item in described["Outputs"]}
    return outputs["MonitorStateMachineArn"]
