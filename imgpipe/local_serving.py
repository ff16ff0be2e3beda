"""What the commands around the local endpoint share: the request, the progress line by line, the result."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console

from imgpipe.errors import CommandError
from imgpipe.interruption import interrupted_by_signals
from imgpipe.lines import say
from imgpipe.project import HOME, INTERPRETERS, ROOT, environment_settings
from local.program import hint
from local.serving import SUCCEEDED, ServingObserver, ServingRequest, ServingResult

_IDLE_MINUTES = 60  # where the environment has no serving.idle_hours


class StateLines:
    """Prints phases, and each state of the machine when it is entered for the first time."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seen: set[str] = set()

    def phase(self, text: str) -> None:
        """Prints a phase."""
        say(self._console, text)

    def state(self, name: str) -> None:
        """Prints a state, once: machines come back to theirs while they wait."""
        if name not in self._seen:
            self._seen.add(name)
            say(self._console, f"  {name}")


def serving_request(env: str) -> ServingRequest:
    """The request for an environment's local endpoint."""
    hours = environment_settings(env).idle_hours
    return ServingRequest(
        environment=env,
        project=ROOT,
        home=HOME,
        interpreters=INTERPRETERS,
        idle_seconds=hours * 3600 if hours else _IDLE_MINUTES * 60,
    )


def deployed_locally(
    env: str, console: Console, deploy: Callable[[ServingRequest, ServingObserver], ServingResult]
) -> ServingResult:
    """Carries a deployment out and prints its progress and what was notified."""
    with interrupted_by_signals():
        result = deploy(serving_request(env), StateLines(console))
    for subject, message in result.notifications:
        say(console, f"Notification: {subject}\n  {message}")
    return result


def print_result(env: str, result: ServingResult, console: Console) -> None:
    """Says where the endpoint is; raises CommandError where the deployment failed."""
    ended = result.execution
    if ended.status != SUCCEEDED:
        raise CommandError(
            f"the deployment {ended.status.lower()}: {ended.cause or ended.error or 'it said no reason'}"
        ) from result.error
    if result.endpoint is None:
        say(console, "No endpoint is running.")
        return
    say(console, f"Endpoint {result.endpoint.name} at {result.endpoint.url} (boto3: sagemaker-runtime, endpoint_url)")
    say(console, f"Use it: {hint(f'predict --local --env {env} IMAGE...')}; stop it: {hint('endpoint --local --stop')}")
