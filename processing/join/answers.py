"""Finds the answer to an image among what a batch transform job stored: `<key>.out`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.contract import ContainerError
from join.plan import Plan

SUFFIX = ".out"


@dataclass(frozen=True)
class Refused:
    """Why an image has no probabilities: a code, and a line for a person."""

    code: str
    message: str


class Answers:
    """The stored answers; `leading` is what comes before an image's key in the path of its answer.

    `strays` are the paths of answers that belong to no image of the plan, sorted.
    """

    def __init__(self, directory: Path, leading: str, strays: Sequence[str] = ()) -> None:
        self._directory = directory
        self._leading = leading
        self.strays = list(strays)

    @classmethod
    def below(cls, directory: Path, plan: Plan) -> Answers:
        """Find out how the job has laid its answers out; raise ContainerError where none belongs to an image.

        The developer guide shows answers at the keys below the input's prefix and at keys that hold parts of the
        prefix too ("Use batch transform to get inferences from large datasets"), so all of these are looked for.
        """
        stored = {path.removesuffix(SUFFIX) for path in _files(directory) if path.endswith(SUFFIX)}
        folders = plan.input_uri.removeprefix("s3://").strip("/").split("/")
        leading, strays = "", sorted(stored)
        for start in range(len(folders), -1, -1):
            candidate = "".join(f"{folder}/" for folder in folders[start:])
            left = stored - {candidate + image.key for image in plan.images()}
            if len(left) < len(strays):
                leading, strays = candidate, sorted(left)
            if not left:
                break
        if stored and len(strays) == len(stored):
            raise ContainerError(
                f"answer {strays[0]}{SUFFIX} belongs to no image of {plan.input_uri}, nor does another: does the job "
                "write to a prefix of its own?"
            )
        return cls(directory, leading, [f"{path}{SUFFIX}" for path in strays])

    def of(self, key: str, *, classes: int) -> list[float] | Refused:
        """The probabilities of an image by class, or why there are none."""
        path = self._directory / f"{self._leading}{key}{SUFFIX}"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return Refused("no_answer", "the transform job stored no answer, see its log")
        except ValueError:
            return Refused("malformed_answer", "the stored answer is no JSON")
        if isinstance(content, dict) and isinstance(content.get("error"), dict):
            error = content["error"]
            return Refused(str(error.get("code", "error")), " ".join(str(error.get("message", "")).split()))
        if _is_probabilities(content, classes):
            return [float(value) for value in content]
        return Refused("malformed_answer", f"the stored answer is no list of {classes} probabilities")


def _is_probabilities(content: Any, classes: int) -> bool:
    return (
        isinstance(content, list)
        and len(content) == classes
        and all(isinstance(value, int | float) and 0 <= value <= 1 for value in content)
    )


def _files(directory: Path) -> Iterator[str]:
    """Relative paths of all files."""
    for place, _, names in os.walk(directory):
        for name in names:
            yield (Path(place) / name).relative_to(directory).as_posix()
