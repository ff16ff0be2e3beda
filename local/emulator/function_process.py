"""One Lambda invocation: `function_process.py MODULE.FUNCTION ANSWER_FILE`, the event on standard input."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace


def main(handler: str, answer_file: str) -> None:
    """Calls the handler and writes {"result": ...} or {"error": {errorType, errorMessage}} as Lambda words it."""
    module, name = handler.rsplit(".", 1)
    event = json.load(sys.stdin)
    try:
        result = getattr(importlib.import_module(module), name)(event, SimpleNamespace(aws_request_id="local"))
        answer = json.dumps({"result": result})
    except Exception as error:  # Lambda's runtime turns every exception of a handler into an answer
        traceback.print_exc()
        answer = json.dumps({"error": {"errorType": type(error).__name__, "errorMessage": str(error)}})
    Path(answer_file).write_text(answer, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
