"""Runs a deployed Lambda function for real: its own zip, in a process of its own, against the emulated account."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from moto.awslambda_simple.models import LambdaSimpleBackend

_LOG_TAIL_BYTES = 4096
_RUNNER = Path(__file__).with_name("function_process.py")


@contextmanager
def real_functions(endpoint: Callable[[], str]) -> Iterator[None]:
    """While open, `lambda.invoke` runs the function's code, which reaches the account through `endpoint()`.

    Answers as Lambda does: what the function printed as the log's tail, a raised exception as errorMessage and
    errorType with the FunctionError header.
    """
    original = LambdaSimpleBackend.invoke

    def invoke(
        self: LambdaSimpleBackend,
        function_name: str,
        qualifier: str | None,
        body: Any,
        headers: Any,
        response_headers: Any,
    ) -> bytes:
        function = self.get_function(function_name, qualifier)
        event = body.decode() if isinstance(body, bytes) else body or "{}"
        answer, output = _run(function, event, endpoint())
        response_headers["x-amz-log-result"] = base64.b64encode(output.encode()[-_LOG_TAIL_BYTES:]).decode()
        if "error" in answer:
            response_headers["x-amz-function-error"] = "Unhandled"
            return json.dumps(answer["error"]).encode()
        return json.dumps(answer["result"]).encode()

    LambdaSimpleBackend.invoke = invoke
    try:
        yield
    finally:
        LambdaSimpleBackend.invoke = original


def _run(function: Any, event: str, endpoint: str) -> tuple[dict[str, Any], str]:
    with tempfile.TemporaryDirectory(prefix="imgpipe-function-") as folder:
        zipfile.ZipFile(BytesIO(function.code_bytes)).extractall(folder)
        answer = Path(folder) / ".answer.json"
        environ = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": folder,  # so that the user's AWS configuration is out of sight
            "AWS_EC2_METADATA_DISABLED": "true",
            # A layer holds packages for Lambda's processors; this environment has the same releases for its own.
            "PYTHONPATH": folder,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": function.region,
            "AWS_DEFAULT_REGION": function.region,
            "AWS_ACCESS_KEY_ID": "emulated",
            "AWS_SECRET_ACCESS_KEY": "emulated",
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            **(function.environment_vars or {}),
        }
        try:
            done = subprocess.run(
                [sys.executable, str(_RUNNER), function.handler, str(answer)],
                input=event,
                env=environ,
                cwd=folder,
                timeout=int(function.timeout),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return _failed("Sandbox.Timedout", f"Task timed out after {function.timeout} seconds"), _text(error.stdout)
        if not answer.exists():
            return _failed("Runtime.ExitError", f"Runtime exited with exit status {done.returncode}"), done.stdout
        return json.loads(answer.read_text(encoding="utf-8")), done.stdout


def _failed(kind: str, message: str) -> dict[str, Any]:
    """What Lambda answers where the handler itself could not."""
    return {"error": {"errorType": kind, "errorMessage": message}}


def _text(output: bytes | str | None) -> str:
    """After a timeout Python hands the output over undecoded."""
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""
