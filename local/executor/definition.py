"""A pipeline definition as the executor needs it: typed parameters, steps, and what depends on what."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final

from local.errors import LocalRunError
from local.executor.channels import refuse_channels
from local.executor.expressions import referenced_steps

VERSION: Final = "2020-12-01"
_PYTHON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step with the names of those that must have ended before it; `branch` is the Condition outcome it waits for."""

    name: str
    type: str
    spec: Mapping[str, Any]
    depends_on: frozenset[str]
    branch: tuple[str, bool] | None = None

    @property
    def display_name(self) -> str:
        """What the console shows."""
        return str(self.spec.get("DisplayName", self.name))


@dataclass(frozen=True)
class Definition:
    """A parsed definition; see https://aws-sagemaker-mlops.github.io/sagemaker-model-building-pipeline-definition-JSON-schema/"""

    parameters: tuple[Mapping[str, Any], ...]
    steps: tuple[Step, ...]
    experiment: Mapping[str, Any] | None = None  # PipelineExperimentConfig: expressions for two names

    @classmethod
    def parse(cls, text: str) -> Definition:
        """Raises LocalRunError for an unknown version, a step named twice, and a dependency that cannot be met."""
        document = json.loads(text)
        if document.get("Version") != VERSION:
            raise LocalRunError(f"definition version {document.get('Version')} is unknown: {VERSION} can be run")
        steps = tuple(_flatten(document["Steps"]))
        _check_dependencies(steps)
        return cls(
            parameters=tuple(document.get("Parameters", [])),
            steps=steps,
            experiment=document.get("PipelineExperimentConfig"),
        )

    def refuse_unsupported(self, supported: frozenset[str]) -> None:
        """Raises LocalRunError naming the first step of a type that is not in `supported`, before anything is run.

        Likewise for a channel of a kind that a local run does not bring.
        """
        for step in self.steps:
            if step.type not in supported:
                raise LocalRunError(
                    f"step {step.name} is of type {step.type}, which the local run does not carry out; "
                    f"it knows {', '.join(sorted(supported))}"
                )
            arguments = step.spec.get("Arguments", {})
            for job in (arguments, arguments.get("TrainingJobDefinition", {})):
                refuse_channels(job)

    def defaults(self) -> dict[str, Any]:
        """The default of every parameter, None where it has none."""
        return {parameter["Name"]: parameter.get("DefaultValue") for parameter in self.parameters}

    def offered(self, suggestions: Mapping[str, str]) -> dict[str, str]:
        """Those of `suggestions` whose parameter is declared and takes the value."""
        declared = {parameter["Name"]: parameter for parameter in self.parameters}

        def is_taken(name: str, text: str) -> bool:
            try:
                _typed(declared[name], text)
            except LocalRunError:
                return False
            return True

        return {name: text for name, text in suggestions.items() if name in declared and is_taken(name, text)}

    def parameter_values(self, overrides: Mapping[str, str]) -> dict[str, Any]:
        """All parameters with their values; overrides arrive as text, as they do from the console.

        Raises LocalRunError for an unknown name, a value of the wrong type or outside the enum, a missing value.
        """
        declared = {parameter["Name"]: parameter for parameter in self.parameters}
        for name in overrides:
            if name not in declared:
                near = difflib.get_close_matches(name, declared, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}? " if near else ""
                raise LocalRunError(f"parameter {name} is unknown: {hint}Known ones: {', '.join(sorted(declared))}")
        values = {}
        for name, parameter in declared.items():
            if name in overrides:
                values[name] = _typed(parameter, overrides[name])
            elif "DefaultValue" in parameter:
                values[name] = parameter["DefaultValue"]
            else:
                raise LocalRunError(f"parameter {name} has no default: give it with --param {name}=VALUE")
        return values


def _typed(parameter: Mapping[str, Any], text: str) -> Any:
    name, kind = parameter["Name"], parameter["Type"]
    allowed = parameter.get("EnumValues")
    if allowed and text not in allowed:
        raise LocalRunError(f"parameter {name}: {text!r} is not allowed, it takes one of {', '.join(allowed)}")
    if kind == "String":
        if not text:  # StartPipelineExecution: string "" is too short (length: 0, required minimum: 1)
            raise LocalRunError(f"parameter {name}: the service takes no empty text: leave it out to get its default")
        return text
    try:
        value = json.loads(text, parse_constant=_no_number)
    except ValueError:
        value = None
    if not isinstance(value, _PYTHON_TYPES[kind]) or (kind != "Boolean" and isinstance(value, bool)):
        wanted = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}[kind]
        raise LocalRunError(f"parameter {name}: {text!r} is not {wanted}")
    return value


def _no_number(text: str) -> None:
    """Python reads NaN and Infinity as numbers; JSON and the service know neither."""
    raise ValueError(text)


def _check_dependencies(steps: tuple[Step, ...]) -> None:
    """Refuses what would leave steps waiting for ever."""
    names = [step.name for step in steps]
    for step in steps:
        if names.count(step.name) > 1:
            raise LocalRunError(f"step {step.name} is defined twice: a name must be unique")
        if unknown := step.depends_on - set(names):
            raise LocalRunError(f"step {step.name} depends on {', '.join(sorted(unknown))}, which does not exist")
    try:
        tuple(TopologicalSorter({step.name: step.depends_on for step in steps}).static_order())
    except CycleError as error:
        raise LocalRunError(
            f"steps depend on each other in a circle: {' -> '.join(reversed(error.args[1]))}"
        ) from error


def _flatten(steps: list[Mapping[str, Any]], branch: tuple[str, bool] | None = None) -> list[Step]:
    """The steps in order, those inside the branches of a condition after it."""
    flat: list[Step] = []
    for spec in steps:
        own = {key: value for key, value in spec.items() if key != "Arguments"} | _without_branches(spec)
        depends_on = referenced_steps(own) | set(spec.get("DependsOn", ())) | ({branch[0]} if branch else set())
        step = Step(
            name=spec["Name"],
            type=spec["Type"],
            spec=spec,
            depends_on=frozenset(depends_on),
            branch=branch,
        )
        flat.append(step)
        if step.type == "Condition":
            flat += _flatten(spec["Arguments"].get("IfSteps", []), (step.name, True))
            flat += _flatten(spec["Arguments"].get("ElseSteps", []), (step.name, False))
    return flat


def _without_branches(spec: Mapping[str, Any]) -> dict[str, Any]:
    arguments = spec.get("Arguments", {})
    return {"Arguments": {key: value for key, value in arguments.items() if key not in ("IfSteps", "ElseSteps")}}
