"""Runs a deployed Lambda function for real: its own zip, in processes of its own, against the emulated account."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from moto.awslambda_simple.models import LambdaSimpleBackend

from local.emulator.replaced import replaced
from local.emulator.sandboxes import Sandboxes

_LOG_TAIL_BYTES: Final = 4096


@contextmanager
def real_functions(endpoint: Callable[[], str]) -> Iterator[None]:
    """While open, `lambda.invoke` runs the function's code, which reaches the account through `endpoint()`.

    Answers as Lambda does: what the function printed as the log's tail, a raised exception as errorMessage and
    errorType with the FunctionError header.
    """
    sandboxes = Sandboxes(endpoint)

    def invoke(
        self: LambdaSimpleBackend,
        function_name: str,
        qualifier: str | None,
        body: Any,
        headers: Any,
        response_headers: Any,
    ) -> bytes:
        function = self.get_function(function_name, qualifier)
        event = body.decode() if isinstance(body, bytes) else body
        answer, output = sandboxes.invoke(function, json.loads(event or "{}"))
        response_headers["x-amz-log-result"] = base64.b64encode(output.encode()[-_LOG_TAIL_BYTES:]).decode()
        if "error" in answer:
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps(answer["error"]).encode()
        return json.dumps(answer["result"]).encode()

    with replaced(LambdaSimpleBackend, invoke=invoke):
        try:
            yield
        finally:
            sandboxes.close()
