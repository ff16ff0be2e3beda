"""What an endpoint says of images, one request each, and how it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from imgpipe.errors import CommandError
from local.errors import explain_os_error
from local.program import hint
from local.storage import all_files

VERBOSE: Final = "verbose=true"
# The packer's formats; whatever else a folder holds is no image.
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"})
_TYPES: Final = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}
_OTHER_TYPE: Final = "application/x-image"
# InvokeEndpoint's own limit for endpoints with instances; a smaller one is the container's, which says so itself.
_MOST_BYTES: Final = 6 * 1024**2
# What no other image would change: who asks, and whether the endpoint exists. By HTTP status, as codes are many.
_REFUSES_ALL: Final = frozenset({401, 403})
_SHOWN: Final = 5  # labels of an image
_BAR: Final = 30  # characters of probability 1


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The answer for one image, or why there is none."""

    image: Path
    answer: dict[str, Any] | None = None  # of "predictions": label, probability, threshold, accepted, ranked, ...
    model: str | None = None
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """One line of --json."""
        if self.answer is None:
            return {"image": str(self.image), "error": self.error}
        return {"image": str(self.image), "model": self.model, **self.answer}


def image_files(paths: Sequence[Path]) -> list[Path]:
    """The files that are named, and those in folders that are; raises CommandError where something is not there."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise CommandError(f"{path} does not exist: give images, or folders of images")
        if path.is_dir():
            inside = [file for file in all_files(path, hidden=False) if file.suffix.lower() in _SUFFIXES]
            if not inside:
                raise CommandError(
                    f"{path} holds no image: it must hold files that end in {', '.join(sorted(_SUFFIXES))}"
                )
            found += inside
        else:
            found.append(path)
    return found


def ask(endpoint: tuple[Any, str], path: Path) -> Prediction:
    """Sends one image; why there is no answer is in `error`, but what concerns every image is raised."""
    runtime, name = endpoint
    try:
        body = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        return Prediction(image=path, error=explain_os_error(error))
    if body is None:
        return Prediction(image=path, error=f"the file is larger than {_MOST_BYTES} bytes: send a smaller image")
    if not body:
        return Prediction(image=path, error="the file is empty")
    try:
        answer = runtime.invoke_endpoint(
            EndpointName=name,
            ContentType=_TYPES.get(path.suffix.lower(), _OTHER_TYPE),
            CustomAttributes=VERBOSE,
            Body=body,
        )
    except ClientError as error:
        if "not found" in str(error):
            raise CommandError(f"endpoint {name} does not exist: approve a version, see `{hint('models')}`") from error
        if _concerns_all(error):
            raise
        return Prediction(image=path, error=_reason(error))
    except (ConnectionClosedError, ReadTimeoutError) as error:
        return Prediction(image=path, error=" ".join(str(error).split()))
    content = json.loads(answer["Body"].read())
    return Prediction(image=path, answer=content["predictions"][0], model=content["model"]["name"])


def _concerns_all(error: ClientError) -> bool:
    """Whether it is about who asks; the service answers so too where credentials are malformed or have expired."""
    response = error.response
    code = response["Error"]["Code"]
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code != "ModelError" and (status in _REFUSES_ALL or "Token" in code or "Signature" in code)


def _reason(error: ClientError) -> str:
    """What the container said, which stands as JSON in the service's text."""
    original = str(error.response.get("OriginalMessage", ""))
    try:
        return str(json.loads(original)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        found = re.search(r'with message "(.*)"', str(error), re.DOTALL)
        return original or (found.group(1) if found else str(error))


def print_prediction(console: Console, prediction: Prediction) -> None:
    """The labels of one image with bars, the most probable first."""
    title = Text(str(prediction.image), style="bold")
    if prediction.answer is None:
        console.print(title.append(f": {prediction.error}", style="red"), soft_wrap=True)
        return
    answer = prediction.answer
    console.print(title.append(f": {answer['label']}{_verdict(answer)}", style="not bold"), soft_wrap=True)
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 1, 0, 2))
    for item in answer["ranked"][:_SHOWN]:
        bar = "█" * round(item["probability"] * _BAR)
        table.add_row(Text(item["label"]), Text(f"{item['probability']:.3f}"), Text(bar, style="green"))
    console.print(table, highlight=False)


def _verdict(answer: dict[str, Any]) -> str:
    if answer.get("accepted") is None:
        return ""
    verdict = "accepted" if answer["accepted"] else "not accepted"
    return f" ({verdict}, threshold {answer['threshold']:.2f})"
