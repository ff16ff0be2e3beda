"""Reads an environment file and turns whatever is wrong in it into one line."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from infra.errors import InfraError
from infra.settings import EnvironmentSettings

ROOT = Path(__file__).resolve().parent.parent
DIRECTORY = ROOT / "environments"
_FROM_FILE_NAME = "environment"


def available_environments(directory: Path = DIRECTORY) -> list[str]:
    """Names of the environments that have a file."""
    return sorted(path.stem for path in directory.glob("*.yaml"))


def requested_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """The environment asked for: `-c env=...` (the CDK hands it on in CDK_CONTEXT_JSON), else IMGPIPE_ENV."""
    context = json.loads(environ.get("CDK_CONTEXT_JSON") or "{}")
    return context.get("env") or environ.get("IMGPIPE_ENV") or None


def load_environment(name: str | None, *, directory: Path = DIRECTORY) -> EnvironmentSettings:
    """The settings of environment `name`; raises InfraError with one line on anything wrong."""
    names = available_environments(directory)
    if name not in names:
        what = f"environment {name!r} is unknown" if name else "no environment chosen"
        raise InfraError(f"{what}: use -c env=NAME or IMGPIPE_ENV=NAME with one of {', '.join(names) or '(no file)'}")
    path = directory / f"{name}.yaml"
    label = f"{directory.name}/{path.name}"
    values = _read_mapping(path, label=label)
    if _FROM_FILE_NAME in values:
        raise InfraError(f"{label}: {_FROM_FILE_NAME}: the file's name says it; remove the line")
    _refuse_placeholders(values, label=label)
    # JSON mode takes a list for a tuple, and still no string for a number.
    document = json.dumps({_FROM_FILE_NAME: name, **values}, default=str)
    try:
        return EnvironmentSettings.model_validate_json(document, strict=True)
    except ValidationError as error:
        raise InfraError(_one_line(error, label=label)) from error


class _UniqueKeyLoader(yaml.SafeLoader):
    """safe_load that refuses a key written twice, where YAML silently lets the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key} is written twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_mapping(path: Path, *, label: str) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InfraError(f"{label}: line {line}: {error.problem or 'no valid YAML'}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InfraError(f"{label}: no valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InfraError(f"{label}: must be a mapping of settings, one `key: value` a line")
    return values


def _refuse_placeholders(value: object, *, label: str, where: str = "") -> None:
    """A `${` in a setting would become a placeholder of the definition, which CloudFormation then fills."""
    if isinstance(value, str) and "${" in value:
        raise InfraError(f"{label}: {where}: must not contain '${{': settings are literal values")
    if isinstance(value, dict):
        for key, item in value.items():
            inner = f"{where}.{key}" if where else str(key)
            _refuse_placeholders(key, label=label, where=inner)
            _refuse_placeholders(item, label=label, where=inner)
    if isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_placeholders(item, label=label, where=f"{where}[{index}]")


def _one_line(error: ValidationError, *, label: str) -> str:
    # A misspelt required key is missing and unknown at once; the unknown name is the mistake.
    details = sorted(error.errors(include_url=False), key=lambda detail: detail["type"] != "extra_forbidden")
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return f"{label}: {_explain(details[0])}{more}"


def _explain(detail: ErrorDetails) -> str:
    """One pydantic error as `key: what is wrong and what is allowed`."""
    # Of a value that may have one of several forms, pydantic names the form too; such names are in brackets.
    location = tuple(part for part in detail["loc"] if not str(part).startswith(("{", "[")))
    key = ".".join(str(part) for part in location)
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key}{_hint(str(location[-1]), _allowed_keys(location[:-1]))}"
    if detail["type"] == "missing":
        return f"{key}: is required"
    message = " ".join(detail["msg"].removeprefix("Value error, ").split())
    message = message.replace("Input should", "must").replace("String should", "must")
    given = detail["input"]
    shown = "" if isinstance(given, dict | list) else f" (found {json.dumps(given, default=str)})"
    return f"{key}: {message}{shown}" if key else message


def _allowed_keys(location: Iterable[int | str]) -> list[str]:
    """The keys that the section at `location` takes."""
    model: type[BaseModel] = EnvironmentSettings
    for part in location:
        if part in model.model_fields:  # else it is the key of a mapping
            model = _section(model.model_fields[str(part)].annotation) or model
    return sorted(set(model.model_fields) - {_FROM_FILE_NAME})


def _section(annotation: object) -> type[BaseModel] | None:
    """The settings model in an annotation, however deep: of Section | None, or of dict[str, Section]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _section(part))), None)


def _hint(name: str, allowed: list[str]) -> str:
    nearest = difflib.get_close_matches(name, allowed, n=1)
    suggestion = f"; did you mean {nearest[0]}?" if nearest else ";"
    return f"{suggestion} allowed: {', '.join(allowed)}"
