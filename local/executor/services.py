"""Carries out the steps that are one call to a service: Lambda, RegisterModel, CreateModel."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from local.executor.definition import Step
from local.executor.expressions import StepOutcome, as_text
from local.executor.tools import Done, StepFailed, Tools

_OUTPUT_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (int, float),
    "Boolean": (bool,),
}


def run_lambda(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Invokes the function and checks that it answers every declared output with the declared type."""
    arn = step.spec["FunctionArn"]
    answer = tools.account.client("lambda").invoke(FunctionName=arn, Payload=json.dumps(arguments), LogType="Tail")
    tools.log(step).write_bytes(base64.b64decode(answer.get("LogResult", "")))
    payload = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise StepFailed(payload.get("errorMessage", "the function failed without a message"))
    outputs = {declared["OutputName"]: _output(payload, declared) for declared in step.spec.get("OutputParameters", [])}
    return Done(
        outcome=StepOutcome(outputs=outputs),
        metadata={"Lambda": {"Arn": arn, "OutputParameters": [_listed(*item) for item in outputs.items()]}},
    )


def _output(payload: Any, declared: Mapping[str, str]) -> Any:
    name, kind = declared["OutputName"], declared["OutputType"]
    if not isinstance(payload, dict) or name not in payload:
        raise StepFailed(f"the function's answer lacks output {name}, declared as {kind}")
    value = payload[name]
    if not isinstance(value, _OUTPUT_TYPES[kind]) or (isinstance(value, bool) and kind != "Boolean"):
        raise StepFailed(f"the function answered {value!r} for output {name}, declared as {kind}")
    return value


def _listed(name: str, value: Any) -> dict[str, str]:
    return {"Name": name, "Value": as_text(value)}


def run_register_model(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Creates the model package."""
    arn = tools.register(tools.account, arguments)
    description = tools.account.client("sagemaker").describe_model_package(ModelPackageName=arn)
    return Done(outcome=StepOutcome(properties=description), metadata={"RegisterModel": {"Arn": arn}})


def run_create_model(step: Step, arguments: dict[str, Any], tools: Tools) -> Done:
    """Creates the model."""
    sagemaker, name = tools.account.client("sagemaker"), tools.job_name(step)
    arn = sagemaker.create_model(ModelName=name, **arguments)["ModelArn"]
    description = sagemaker.describe_model(ModelName=name)
    return Done(outcome=StepOutcome(properties=description), metadata={"Model": {"Arn": arn}})
