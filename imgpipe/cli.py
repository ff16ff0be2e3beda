"""The commands of imgpipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from imgpipe import __version__
from imgpipe.commands.approve import approve
from imgpipe.commands.endpoint import endpoint
from imgpipe.commands.errors import errors
from imgpipe.commands.monitor import monitor
from imgpipe.commands.predict import predict
from imgpipe.commands.serve import serve
from imgpipe.commands.transform import transform
from imgpipe.errors import CommandError
from imgpipe.interruption import STOPPED, end_stopped, interrupted_by_signals
from imgpipe.options import Environment, Local, Params, Pipeline, PipelineChoice, RuntimeChoice
from imgpipe.project import (
    HOME,
    INTERPRETERS,
    ROOT,
    check_classes,
    check_data_folder,
    check_environment,
    parse_parameters,
)
from local.errors import LocalRunError, explain_os_error
from local.program import hint

if TYPE_CHECKING:
    from imgpipe.versions import ModelVersion

FAILED = 1

app = typer.Typer(
    help="Image classification on Amazon SageMaker as code.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
console = Console()


def _show_version(wanted: bool) -> None:
    if wanted:
        _say(__version__)
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of every command; --debug is read by `main`."""


@app.command()
def run(
    data: Annotated[Path | None, typer.Option(help="Folder of class folders; absent: scikit-learn's digits.")] = None,
    param: Params = None,
    env: Environment = "dev",
    pipeline: Pipeline = PipelineChoice.train,
    runtime: Annotated[RuntimeChoice, typer.Option(help="How containers run.")] = RuntimeChoice.auto,
    mlflow: Annotated[bool, typer.Option("--mlflow", help="Track the run in a local MLflow store too.")] = False,
) -> None:
    """Run the deployed pipeline's very definition on this machine: needs no account and no Docker."""
    # Late, like all imports of a command: they take time, and `imgpipe --help` should not.
    from imgpipe.digits import PARAMETERS, write_digits
    from imgpipe.progress import RunProgress
    from imgpipe.results import print_summary
    from local.run import RunRequest, run_locally
    from local.tracking import Store, track

    parameters = parse_parameters(param or [])
    check_environment(env)
    suggestions = PARAMETERS if data is None else {}
    if data is None:
        data = write_digits(HOME / "data" / "digits")
    files = check_data_folder(data)
    if pipeline is not PipelineChoice.transform:  # which asks for no class
        check_classes(data)
    _say(f"imgpipe run: pipeline {pipeline.value}, environment {env}, {files} files in {data}")
    progress = RunProgress(console)
    request = RunRequest(
        environment=env,
        data=data,
        project=ROOT,
        home=HOME,
        interpreters=INTERPRETERS,
        parameters=parameters,
        suggestions=suggestions,
        runtime=runtime.value,
        pipeline=pipeline.value,
    )
    with interrupted_by_signals(), progress.showing():
        result = run_locally(request, observer=progress)
    print_summary(console, result.summary, result.directory)
    if mlflow:
        store = Store(directory=HOME / "mlruns")
        track(store, directory=result.directory, summary=result.summary, parameters=result.parameters)
        _say(f"Tracked: {store.command}")
    if result.summary["status"] == "Stopped":
        end_stopped(result.directory)
    if result.summary["status"] == "Failed":
        message = f"{result.summary['failure_reason']} (logs: {result.directory / 'logs'})"
        raise CommandError(message) from result.error


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def pack(context: typer.Context) -> None:
    """Pack a folder of labelled images as RecordIO: see `imgpipe pack --help`."""
    from imgpipe.packer import run_packer

    run_packer(context.args)


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
    _say(f"{deployed.data_uri}: {result.sent} sent, {result.unchanged} unchanged, {result.removed} removed")


@app.command()
def start(param: Params = None, env: Environment = "dev", pipeline: Pipeline = PipelineChoice.train) -> None:
    """Start an execution of a deployed pipeline."""
    from imgpipe.deployed import Deployed, service_errors_in_one_line

    with service_errors_in_one_line():
        arn = Deployed(env).start(parse_parameters(param or []), pipeline=pipeline.value)
    _say(arn)


@app.command()
def status(
    execution: Annotated[str | None, typer.Argument(help="Execution id; absent: the newest.")] = None,
    env: Environment = "dev",
    pipeline: Pipeline = PipelineChoice.train,
) -> None:
    """Show an execution of a deployed pipeline and its steps."""
    from imgpipe.deployed import Deployed, service_errors_in_one_line
    from imgpipe.results import print_execution

    with service_errors_in_one_line():
        description, steps = Deployed(env).execution(execution, pipeline=pipeline.value)
    print_execution(console, description, steps)


@app.command()
def models(
    env: Environment = "dev",
    local: Local = False,
    compare: Annotated[
        tuple[int, int] | None, typer.Option("--compare", metavar="VERSION VERSION", help="Show what differs.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="With --compare: show what is equal too.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="With --compare: show hashes, addresses and long texts whole.")
    ] = False,
) -> None:
    """List the model versions of an environment, or compare two of them."""
    from imgpipe import versions
    from imgpipe.deployed import service_errors_in_one_line
    from imgpipe.results import print_comparison, print_models

    with service_errors_in_one_line():
        listed = _versions(env, local=local)
        if compare is None:
            print_models(console, listed)
        else:
            left, right = (versions.pick(listed, number) for number in compare)
            rows = versions.compare(left, right, everything=everything)
            print_comparison(console, *compare, rows, verbose=verbose)
    if local and compare is None:
        _say(f"Kept in {versions.registry_of(HOME, env).directory}: remove that folder to start with version 1 again.")


for command in (approve, predict, serve, endpoint, transform, monitor, errors):
    app.command()(command)


def _versions(env: str, *, local: bool) -> list[ModelVersion]:
    """The model versions of an environment, newest first."""
    from imgpipe import versions
    from imgpipe.deployed import Deployed

    check_environment(env)
    return versions.local_versions(versions.registry_of(HOME, env)) if local else Deployed(env).versions()


def main() -> None:
    """The console script: one line on standard error and an exit code for everything that goes wrong."""
    debug = "--debug" in sys.argv[1:]
    try:
        code = app(standalone_mode=False)
    except Exception as error:
        if debug:
            raise
        _end(*_explain(error))
    if code == STOPPED:  # what typer makes of a KeyboardInterrupt
        _end("stopped", STOPPED)
    sys.exit(code or 0)


def _explain(error: Exception) -> tuple[str, int]:
    """The line and the exit code for an error."""
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        command = hint(context.command_path.partition(" ")[2] if context else "").rstrip()
        # Empty where the help has been shown instead. Typer puts the kind of the error it caught before a choice's.
        message = error.format_message().replace("Value error, ", "")
        return (f"error: {message.rstrip('.')}. See `{command} --help`." if message else "", error.exit_code)
    if isinstance(error, CommandError | LocalRunError):
        return f"error: {error}", FAILED
    if isinstance(error, BrokenPipeError):  # the reader of our output has gone, as in `imgpipe models | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return "", FAILED
    if isinstance(error, OSError):
        return f"error: {explain_os_error(error)}", FAILED
    return f"error: internal error, `{hint('--debug ...')}` shows the traceback: {error!r}", FAILED


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _end(message: str, code: int) -> NoReturn:
    if message:
        print(message, file=sys.stderr)
    sys.exit(code)
