"""A Lambda execution environment: `function_process.py MODULE.FUNCTION`, events on standard input, a line each.

The first line of standard output says that the module has been imported, each further one is the answer to an event:
{"result": ...} or {"error": {errorType, errorMessage}} as Lambda words it. What the function prints goes to standard
error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TextIO


def main(handler: str) -> None:
    """Answers events until there are no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    function = _load(handler)
    _say(answers, {"ready": True})
    for line in sys.stdin:
        _say(answers, _answer(function, json.loads(line)))


def _load(handler: str) -> Callable[[Any, Any], Any]:
    """The handler; one that cannot be imported is one that raises the reason, as Lambda has it."""
    module, name = handler.rsplit(".", 1)
    try:
        found: Callable[[Any, Any], Any] = getattr(importlib.import_module(module), name)
    except Exception as error:  # as in _answer
        reason = error

        def found(_event: Any, _context: Any) -> Any:
            raise reason

    return found


def _answer(function: Callable[[Any, Any], Any], event: Any) -> dict[str, Any]:
    try:
        answer = {"result": function(event, _context())}
        json.dumps(answer)  # an answer that is no JSON is the handler's error too
    except Exception as error:  # Lambda's runtime turns every exception of a handler into an answer
        traceback.print_exc()
        return {"error": {"errorType": type(error).__name__, "errorMessage": str(error)}}
    return answer


def _say(answers: TextIO, content: dict[str, Any]) -> None:
    sys.stdout.flush()  # what was printed is the log of this event, not of the next
    sys.stderr.flush()
    answers.write(json.dumps(content) + "\n")
    answers.flush()


def _context() -> SimpleNamespace:
    """The part of Lambda's context that handlers and their libraries read."""
    name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local")
    return SimpleNamespace(
        aws_request_id="local",
        function_name=name,
        memory_limit_in_mb=os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        invoked_function_arn=f"arn:aws:lambda:{os.environ.get('AWS_REGION', 'local')}:local:function:{name}",
    )


if __name__ == "__main__":
    main(sys.argv[1])
