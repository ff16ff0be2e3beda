"""One Lambda invocation: `function_process.py MODULE.FUNCTION ANSWER_FILE`, the event on standard input."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace


def main(handler: str, answer_file: str) -> None:
    """Calls the handler and writes {"result": ...} or {"error": {errorType, errorMessage}} as Lambda words it."""
    module, name = handler.rsplit(".", 1)
    event = json.load(sys.stdin)
    try:
        result = getattr(importlib.import_module(module), name)(event, _context())
        answer = json.dumps({"result": result})
    except Exception as error:  # Lambda's runtime turns every exception of a handler into an answer
        traceback.print_exc()
        answer = json.dumps({"error": {"errorType": type(error).__name__, "errorMessage": str(error)}})
    Path(answer_file).write_text(answer, encoding="utf-8")


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
    main(sys.argv[1], sys.argv[2])
