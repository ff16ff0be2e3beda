"""Finds the answer to an image among what a batch transform job stored: `<key>.out`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
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
    """The stored answers; `place` tells the path of an image's answer, without SUFFIX, from its key.

    `strays` are the paths of answers that belong to no image of the plan, sorted.
    """

    def __init__(self, directory: Path, place: Callable[[str], str], strays: Sequence[str] = ()) -> None:
        self._directory = directory
        self._place = place
        self.strays = list(strays)

    @classmethod
    def below(cls, directory: Path, plan: Plan) -> Answers:
        """Find out how the job has laid its answers out; raise ContainerError where none belongs to an image.

        The developer guide shows answers at the keys below the input's prefix and at keys that hold parts of the
        prefix too ("Use batch transform to get inferences from large datasets"), so all of these are looked for. For a
        manifest it shows none, so answers without any folder are taken too, if file names tell the images apart.
        """
        stored = {path.removesuffix(SUFFIX) for path in _files(directory) if path.endswith(SUFFIX)}
        place, strays = _in_folders(stored, plan)
        if strays and (flat := _without_folders(stored, plan)) is not None and (not flat or strays == stored):
            place, strays = _file_name, flat
        if stored and strays == stored:
            raise ContainerError(
                f"answer {min(strays)}{SUFFIX} belongs to no image of {plan.input_uri}, nor does another: does the job "
                "write to a prefix of its own?"
            )
        return cls(directory, place, [f"{path}{SUFFIX}" for path in sorted(strays)])

    def of(self, key: str, *, classes: int) -> list[float] | Refused:
        """The probabilities of an image by class, or why there are none."""
        path = self._directory / f"{self._place(key)}{SUFFIX}"
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


def _in_folders(stored: set[str], plan: Plan) -> tuple[Callable[[str], str], set[str]]:
    """The layout of keys, after none or some of the prefix's last folders, that leaves the fewest strays; and these."""
    folders = plan.input_uri.removeprefix("s3://").strip("/").split("/")
    leading, strays = "", stored
    for start in range(len(folders), -1, -1):
        candidate = "".join(f"{folder}/" for folder in folders[start:])
        left = stored - {candidate + image.key for image in plan.images()}
        if len(left) < len(strays):
            leading, strays = candidate, left
        if not left:
            break
    return lambda key: f"{leading}{key}", strays


def _without_folders(stored: set[str], plan: Plan) -> set[str] | None:
    """The strays of a layout by file names alone; None where two images share one, or an answer lies in a folder."""
    names = [_file_name(image.key) for image in plan.images() if image.skipped is None]
    if len(names) != len(set(names)) or any("/" in path for path in stored):
        return None
    return stored - set(names)


def _file_name(key: str) -> str:
    return key.rpartition("/")[2]


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
