"""What a rule's target gets: the event, a part of it, a constant, or a template filled in.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

# A quoted text, in which a placeholder stands for bare text, or a placeholder by itself, which stands for JSON.
_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*"|<[A-Za-z0-9_.-]+>')
_PLACEHOLDER: Final = re.compile(r"<([A-Za-z0-9_.-]+)>")
_STEP: Final = re.compile(r"[^.\[\]']+")


def target_input(target: Mapping[str, Any], event: Mapping[str, Any], *, rule_name: str, rule_arn: str) -> Any:
    """The input of a target, as JSON, or a text where the template is none."""
    if "Input" in target:
        return json.loads(target["Input"])
    if "InputPath" in target:
        return find(event, target["InputPath"])
    if transformer := target.get("InputTransformer"):
        values = {name: find(event, path) for name, path in transformer.get("InputPathsMap", {}).items()}
        reserved = {
            "aws.events.rule-name": rule_name,
            "aws.events.rule-arn": rule_arn,
            "aws.events.event": event,
            "aws.events.event.json": event,
        }
        return fill(transformer["InputTemplate"], {**values, **reserved})
    return dict(event)


def fill(template: str, values: Mapping[str, Any]) -> Any:
    """Fills a template in; unknown placeholders stay, and a value that the event lacks is null, in a text nothing."""

    def piece(match: re.Match[str]) -> str:
        text = match.group()
        if text.startswith('"'):
            return _PLACEHOLDER.sub(lambda found: _bare(found, values), text)
        name = text[1:-1]
        return json.dumps(values[name]) if name in values else text

    filled = _PIECE.sub(piece, template)
    try:
        return json.loads(filled)
    except json.JSONDecodeError:
        return filled


def _bare(found: re.Match[str], values: Mapping[str, Any]) -> str:
    if found.group(1) not in values:
        return found.group()
    value = values[found.group(1)]
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text)[1:-1]


def find(event: Any, path: str) -> Any:
    """The value at a path such as $.detail.name or $.resources[0]; None where there is none."""
    value = event
    for step in _STEP.findall(path.removeprefix("$")):
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, Mapping) and step in value:
            value = value[step]
        else:
            return None
    return value
