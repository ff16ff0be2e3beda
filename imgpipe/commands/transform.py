"""`imgpipe transform`: classifies a folder or an S3 prefix with a registered model version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from imgpipe.errors import CommandError
from imgpipe.options import Environment, RuntimeChoice
from local.program import hint

Source = Annotated[str, typer.Argument(metavar="S3_OR_FOLDER", help="A folder of images, any depth, or an S3 prefix.")]
Version = Annotated[int | None, typer.Option("--version", min=1, help="Number of an approved version; absent: newest.")]
Out = Annotated[Path | None, typer.Option("--out", help="File that becomes a copy of predictions.csv.")]


def transform(
    source: Source,
    env: Environment = "dev",
    local: Annotated[
        bool, typer.Option("--local", help="On this machine, with a version that local runs made.")
    ] = False,
    version: Version = None,
    out: Out = None,
    wait: Annotated[bool, typer.Option("--wait", help="Deployed: stay until the execution has ended.")] = False,
    runtime: Annotated[RuntimeChoice, typer.Option(help="Local: how containers run.")] = RuntimeChoice.auto,
) -> None:
    """Classify a folder of images or an S3 prefix with an approved model version."""
    from imgpipe.batch import check_out  # late, like all imports of a command

    check_out(out)
    parameters = {} if version is None else {"ModelVersion": str(version)}
    if local:
        _locally(source, env, parameters, out, runtime)
    else:
        if out is not None and not wait:
            raise CommandError("--out needs the results: add --wait, or fetch them when the execution has ended")
        _deployed(source, env, parameters, out, wait=wait)


def _locally(source: str, env: str, parameters: dict[str, str], out: Path | None, runtime: RuntimeChoice) -> None:
    from imgpipe.batch import check_image_folder, copy_predictions, print_transform
    from imgpipe.interruption import end_stopped, interrupted_by_signals
    from imgpipe.progress import RunProgress
    from imgpipe.project import HOME, INTERPRETERS, ROOT, check_environment
    from imgpipe.versions import registry_of
    from local.run import RunRequest, run_locally

    if source.startswith("s3://"):
        raise CommandError(f"{source}: --local takes a folder of this machine, or leave --local out")
    check_environment(env)
    folder, console = Path(source), Console()
    files = check_image_folder(folder)
    registry_of(HOME, env)
    print(f"imgpipe transform: environment {env}, {files} files in {folder}", flush=True)
    progress = RunProgress(console)
    request = RunRequest(
        environment=env,
        data=folder,
        project=ROOT,
        home=HOME,
        interpreters=INTERPRETERS,
        parameters=parameters,
        runtime=runtime.value,
        pipeline="transform",
    )
    with interrupted_by_signals(), progress.showing():
        result = run_locally(request, observer=progress)
    if result.summary["status"] == "Stopped":
        end_stopped(result.directory)
    if result.summary["status"] != "Succeeded":
        message = f"{result.summary['failure_reason']} (logs: {result.directory / 'logs'})"
        raise CommandError(message) from result.error
    place = result.directory / "steps" / "Join" / "processing" / "output" / "predictions"
    if out is not None:
        copy_predictions((place / "predictions.csv").read_bytes(), out)
    print_transform(console, result.summary["transform"], place=str(place), out=out)


def _deployed(source: str, env: str, parameters: dict[str, str], out: Path | None, *, wait: bool) -> None:
    from imgpipe.batch import BatchDeployed, check_image_folder, copy_predictions, print_transform
    from imgpipe.deployed import service_errors_in_one_line

    if not source.startswith("s3://"):
        check_image_folder(Path(source))
    with service_errors_in_one_line():
        deployed = BatchDeployed(env)
        uri = source if source.startswith("s3://") else deployed.upload_images(Path(source))
        arn = deployed.start({"InputDataUri": uri, **parameters}, pipeline="transform")
        execution = arn.rsplit("/", 1)[-1]
        print(f"{uri}\n{arn}\nFollow it: {hint(f'status {execution} --pipeline transform --env {env}')}", flush=True)
        if not wait:
            return
        place = deployed.wait_for_predictions(execution, on_change=lambda text: print(text, flush=True))
        if out is not None:
            copy_predictions(deployed.read(f"{place}/predictions.csv"), out)
        print_transform(Console(), deployed.summary(place), place=place, out=out)
