"""Values of a definition at run time: Get, Std:Join and Std:JsonGet, as strict about types as the service."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jsonpath_ng import parse as parse_json_path

from local.errors import LocalRunError

_STEP = re.compile(r"^Steps\.([^.]+)\.(.+)$")
_PROPERTY_FILE = re.compile(r"^PropertyFiles\.(.+)$")
_PART = re.compile(r"\.?([A-Za-z0-9_]+)|\['([^']*)'\]|\[(\d+)\]")
_NAME_KEYS = ("OutputName", "InputName", "ChannelName", "Name")


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """What later steps may refer to: a job's description, a function's outputs, the S3 URIs of property files."""

    properties: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    property_files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What expressions are resolved against; `read_object` returns the text of an S3 URI."""

    parameters: Mapping[str, Any]
    execution: Mapping[str, Any]
    steps: Mapping[str, StepOutcome]
    read_object: Callable[[str], str]

    def resolve(self, value: Any) -> Any:
        """`value` with every expression in it replaced; raises LocalRunError for what cannot be resolved."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.keys() == {"Get"}:
            return self._get(value["Get"])
        if value.keys() == {"Std:Join"}:
            join = value["Std:Join"]
            return str(join["On"]).join(as_text(self.resolve(item)) for item in join["Values"])
        if value.keys() == {"Std:JsonGet"}:
            return self._json_get(value["Std:JsonGet"])
        return {key: self.resolve(item) for key, item in value.items()}

    def _get(self, reference: str) -> Any:
        kind, _, name = reference.partition(".")
        if kind == "Parameters" and name in self.parameters:
            return self.parameters[name]
        if kind == "Execution" and name in self.execution:
            return self.execution[name]
        match = _STEP.match(reference)
        if match and match[1] in self.steps:
            outcome = self.steps[match[1]]
            if match[2].startswith("OutputParameters["):
                return _walk({"OutputParameters": outcome.outputs}, match[2], reference)
            return _walk(outcome.properties, match[2], reference)
        raise LocalRunError(f"definition: {reference} refers to nothing that exists at that point of the execution")

    def _json_get(self, expression: Mapping[str, Any]) -> Any:
        path = expression["Path"]
        if "PropertyFile" in expression:
            uri = self._property_file(expression["PropertyFile"])
        else:
            uri = self.resolve(expression["S3Uri"])
        try:
            found = _parse_path(path).find(json.loads(self.read_object(uri)))
        except json.JSONDecodeError as error:
            raise LocalRunError(f"JsonGet of {path}: {uri} is not JSON: {error}") from error
        if len(found) != 1 or found[0].value is None or isinstance(found[0].value, dict | list):
            raise LocalRunError(f"JsonGet: {uri} has no single value at {path}: check the path and what the step wrote")
        return found[0].value

    def _property_file(self, reference: Any) -> str:
        match = _STEP.match(reference["Get"])
        file = match and _PROPERTY_FILE.match(match[2])
        if not match or not file or file[1] not in self.steps.get(match[1], StepOutcome()).property_files:
            raise LocalRunError(f"definition: {reference['Get']} is not a property file of a step that has run")
        return self.steps[match[1]].property_files[file[1]]


@functools.cache
def _parse_path(path: str) -> Any:
    try:
        return parse_json_path(path)
    except Exception as error:  # jsonpath_ng raises several kinds, some of them plain exceptions
        raise LocalRunError(f"JsonGet: {path!r} is no JSON path: {' '.join(str(error).split())}") from error


def as_text(value: Any) -> str:
    """A value inside a Join: numbers and booleans become text as JSON writes them; a structure is an error."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        raise LocalRunError(f"Join: {value!r} is no text, number or boolean")
    return json.dumps(value)


def references(value: Any) -> Iterator[str]:
    """Every `Get` reference below `value`, those inside JsonGet and Join included."""
    if isinstance(value, dict):
        if value.keys() == {"Get"} and isinstance(value["Get"], str):
            yield value["Get"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def referenced_steps(value: Any) -> set[str]:
    """Names of the steps that `value` refers to."""
    return {match[1] for reference in references(value) if (match := _STEP.match(reference))}


def _walk(value: Any, path: str, reference: str) -> Any:
    """Follows a property path; a name in brackets picks the list's item of that name, as in Outputs['train']."""
    position = 0
    while position < len(path):
        match = _PART.match(path, position)
        if match is None:
            raise LocalRunError(f"definition: {reference} is not a property path")
        position = match.end()
        try:
            value = _step_into(value, match)
        except (KeyError, IndexError, TypeError, StopIteration) as error:
            raise LocalRunError(f"definition: {reference} does not exist, {match[0]!r} was not found") from error
    return value


def _step_into(value: Any, match: re.Match[str]) -> Any:
    if match[1] is not None:
        return value[match[1]]
    if match[3] is not None:
        return value[int(match[3])]
    if isinstance(value, list):  # of inputs, outputs or channels
        return next(item for item in value if match[2] in (item.get(key) for key in _NAME_KEYS))
    return value[match[2]]
