"""The commands of imgpipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from imgpipe import __version__
from imgpipe.errors import CommandError
from imgpipe.project import HOME, INTERPRETERS, ROOT, check_data_folder, environment_file, parse_parameters
from local.errors import LocalRunError

STOPPED = 130  # 128 + SIGINT, as a shell reports it

app = typer.Typer(
    help="Image classification on Amazon SageMaker as code.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console()


class RuntimeChoice(str, Enum):
    """How containers run: Docker where it answers, or as plain processes."""

    auto = "auto"
    process = "process"
    docker = "docker"


Environment = Annotated[str, typer.Option("--env", help="Environment: a file of environments/.")]
Params = Annotated[list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A pipeline parameter.")]


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Options of every command; --debug is read by `main`."""
    if version:
        console.print(__version__, highlight=False)
        raise typer.Exit


@app.command()
def run(
    data: Annotated[Path | None, typer.Option(help="Folder of class folders; absent: scikit-learn's digits.")] = None,
    param: Params = None,
    env: Environment = "dev",
    runtime: Annotated[RuntimeChoice, typer.Option(help="How containers run.")] = RuntimeChoice.auto,
) -> None:
    """Run the deployed pipeline's very definition on this machine: no account, no Docker, no network."""
    # Late, like all imports of a command: they take time, and `imgpipe --help` should not.
    from imgpipe.digits import PARAMETERS, write_digits
    from imgpipe.progress import RunProgress
    from imgpipe.results import print_summary
    from local.run import RunRequest, run_locally

    parameters = parse_parameters(param or [])
    environment_file(env)
    if data is None:
        data = write_digits(HOME / "data" / "digits")
        parameters = PARAMETERS | parameters
    files = check_data_folder(data)
    console.print(f"imgpipe run: environment {env}, {files} files in {data}", highlight=False, soft_wrap=True)
    progress = RunProgress(console)
    with _stoppable(), progress.showing():
        result = run_locally(
            RunRequest(
                environment=env,
                data=data,
                project=ROOT,
                home=HOME,
                interpreters=INTERPRETERS,
                parameters=parameters,
                runtime=runtime.value,
            ),
            observer=progress,
        )
    print_summary(console, result.summary, result.directory)
    if result.summary["status"] == "Stopped":
        _end("stopped", STOPPED)
    if result.summary["status"] == "Failed":
        raise CommandError(f"{result.summary['failure_reason']} (logs: {result.directory / 'logs'})")


@app.command()
def upload(
    folder: Annotated[Path, typer.Argument(help="Folder of class folders.")],
    env: Environment = "dev",
    delete: Annotated[bool, typer.Option("--delete", help="Remove objects that the folder does not hold.")] = False,
) -> None:
    """Send a folder of class folders to a deployed environment; only new and changed files travel."""
    from imgpipe.deployed import Deployed, service_errors_in_one_line

    check_data_folder(folder)
    with service_errors_in_one_line():
        deployed = Deployed(env)
        result = deployed.upload(folder, delete=delete)
    console.print(
        f"{deployed.data_uri}: {result.sent} sent, {result.unchanged} unchanged, {result.removed} removed",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def start(param: Params = None, env: Environment = "dev") -> None:
    """Start an execution of a deployed pipeline."""
    from imgpipe.deployed import Deployed, service_errors_in_one_line

    with service_errors_in_one_line():
        arn = Deployed(env).start(parse_parameters(param or []))
    console.print(arn, highlight=False, soft_wrap=True)


@app.command()
def status(
    execution: Annotated[str | None, typer.Argument(help="Execution id; absent: the newest.")] = None,
    env: Environment = "dev",
) -> None:
    """Show an execution of a deployed pipeline and its steps."""
    from imgpipe.deployed import Deployed, service_errors_in_one_line
    from imgpipe.results import print_execution

    with service_errors_in_one_line():
        description, steps = Deployed(env).execution(execution)
    print_execution(console, description, steps)


@app.command()
def models(env: Environment = "dev") -> None:
    """List the model versions of a deployed environment."""
    from imgpipe.deployed import Deployed, service_errors_in_one_line
    from imgpipe.results import print_models

    with service_errors_in_one_line():
        listed = Deployed(env).models()
    print_models(console, listed)


def main() -> None:
    """The console script: one line on standard error and an exit code for everything that goes wrong."""
    debug = "--debug" in sys.argv[1:]
    try:
        app()
    except (CommandError, LocalRunError) as error:
        if debug:
            raise
        _end(str(error), 1)
    except OSError as error:
        if debug:
            raise
        _end(f"{error.strerror or error}: {error.filename or 'a file'}", 1)
    except Exception as error:
        if debug:
            raise
        _end(f"internal error, run again with `imgpipe --debug ...` for the traceback: {error!r}", 1)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Ctrl-C before the execution has begun, when there is no state to record yet."""
    try:
        yield
    except KeyboardInterrupt:
        _end("stopped before the execution began", STOPPED)


def _end(message: str, code: int) -> NoReturn:
    print(f"error: {message}" if code == 1 else message, file=sys.stderr)
    sys.exit(code)
