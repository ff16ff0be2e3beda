"""`imgpipe errors`: what went wrong lately, wherever it did."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated

import typer

from imgpipe.options import Environment

if TYPE_CHECKING:
    from imgpipe.errors_found import Found


def errors(
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="How far back: 30m, 1h, 2d.")] = "1h",
    env: Environment = "dev",
    local: Annotated[bool, typer.Option("--local", help="Runs and the endpoint of this machine.")] = False,
) -> None:
    """What went wrong lately: failed executions, refused requests, unsure results, queues; newest first."""
    from imgpipe.errors_found import parse_since  # late, like all imports of a command

    start = parse_since(since, now=datetime.now(timezone.utc))
    found = _local(env, start) if local else _deployed(env, start)
    _show(found, since)


def _local(env: str, start: datetime) -> Found:
    from imgpipe.local_errors import find_local
    from imgpipe.project import HOME, check_environment

    check_environment(env)
    return find_local(HOME, env, start)


def _deployed(env: str, start: datetime) -> Found:
    from imgpipe import deployed_errors
    from imgpipe.deployed import service_errors_in_one_line
    from imgpipe.project import environment_settings

    settings = environment_settings(env)
    environment = deployed_errors.Environment(name=env, prefix=f"{settings.project}-{env}", region=settings.region)
    with service_errors_in_one_line():
        return deployed_errors.find_deployed(environment, start)


def _show(found: Found, since: str) -> None:
    from rich.console import Console

    console = Console()

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, soft_wrap=True, markup=False)

    for problem in found.newest_first():
        say(f"{problem.time.astimezone():%Y-%m-%d %H:%M:%S}  {problem.source}", "bold")
        say(f"  {problem.reason}")
        say(f"  {problem.more}", "dim")
    if not found.problems:
        but = ", but the queues are not empty" if found.waiting else ""
        say(f"Nothing went wrong in the last {since}, where it could be looked{but}.")
    for note in found.notes:
        say(f"({note})", "dim")
