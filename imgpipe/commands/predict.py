"""`imgpipe predict`: Labels for images, from the environment's endpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from imgpipe.errors import CommandError
from imgpipe.options import Environment
from imgpipe.project import check_environment

if TYPE_CHECKING:
    from imgpipe.predictions import Prediction


def predict(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images, or folders of images.")],
    env: Environment = "dev",
    local: Annotated[
        bool, typer.Option("--local", help="Ask the endpoint on this machine, not the deployed one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for each image in place of bars.")] = False,
) -> None:
    """Ask the environment's endpoint for the labels of images."""
    from imgpipe.deployed import service_errors_in_one_line
    from imgpipe.predictions import ask, image_files, print_prediction

    check_environment(env)
    files = image_files(images)
    console, refused = Console(), 0
    with service_errors_in_one_line():
        endpoint = _endpoint(env, local=local)
        for path in files:
            prediction: Prediction = ask(endpoint, path)
            refused += prediction.error is not None
            if as_json:
                print(json.dumps(prediction.as_json()))
            else:
                print_prediction(console, prediction)
    if refused:
        raise CommandError(f"{refused} of {len(files)} images could not be classified, the reasons are above")


def _endpoint(env: str, *, local: bool) -> tuple[object, str]:
    """A client of sagemaker-runtime and the endpoint's name."""
    if local:
        from imgpipe.local_endpoint import local_runtime

        return local_runtime(env)
    from imgpipe.deployed import Deployed

    deployed = Deployed(env)
    return deployed.client("sagemaker-runtime"), deployed.serving_outputs()["EndpointName"]
