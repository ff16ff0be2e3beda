"""Processes that run Lambda functions, kept warm from one invocation to the next as Lambda keeps them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Hashable
from io import BytesIO
from pathlib import Path
from typing import Any, Final

_RUNNER: Final = Path(__file__).with_name("function_process.py")
_START_SECONDS: Final = 120.0  # imports, on a machine that is busy
_END_SECONDS: Final = 5.0


class SandboxEnded(Exception):
    """The process ended, or was ended, before it answered; errorType and errorMessage as Lambda words them."""

    def __init__(self, kind: str, message: str, output: str) -> None:
        super().__init__(message)
        self.answer = {"error": {"errorType": kind, "errorMessage": message}}
        self.output = output


class Sandbox:
    """A process that has loaded a function and answers its events, one at a time."""

    def __init__(self, function: Any, endpoint: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="imgpipe-function-")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the sandbox
        zipfile.ZipFile(BytesIO(function.code_bytes)).extractall(self._folder.name)
        self._process = subprocess.Popen(
            [sys.executable, str(_RUNNER), function.handler],
            env=_environ(function, self._folder.name, endpoint),
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )
        self._seconds = float(function.timeout)
        self._started = False

    def invoke(self, event: Any) -> tuple[dict[str, Any], str]:
        """The answer to an event and what the function printed meanwhile; raises SandboxEnded."""
        if not self._started:  # Lambda does not count the imports either
            self._ask(None, _START_SECONDS)
            self._started = True
        return self._ask(json.dumps(event), self._seconds)

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._process.kill()
        self._process.communicate()
        self._log.close()
        self._folder.cleanup()

    def _ask(self, line: str | None, seconds: float) -> tuple[dict[str, Any], str]:
        assert self._process.stdin
        assert self._process.stdout
        timed_out = threading.Event()
        begin = os.fstat(self._log.fileno()).st_size

        def end() -> None:
            timed_out.set()
            self._process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            if line is not None:
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        output = os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size - begin, begin)
        if answer:
            return json.loads(answer), output.decode(errors="replace")
        raise self._ended(output.decode(errors="replace"), seconds if timed_out.is_set() else None)

    def _ended(self, output: str, seconds: float | None) -> SandboxEnded:
        if seconds is not None:
            return SandboxEnded("Sandbox.Timedout", f"Task timed out after {seconds:g} seconds", output)
        status = self._process.wait(_END_SECONDS)
        return SandboxEnded("Runtime.ExitError", f"Runtime exited with exit status {status}", output)


class Sandboxes:
    """The sandboxes of an account's functions; each event gets one of its own, the idle ones are used again."""

    def __init__(self, endpoint: Callable[[], str]) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._idle: dict[Hashable, list[Sandbox]] = {}
        self._all: set[Sandbox] = set()

    def invoke(self, function: Any, event: Any) -> tuple[dict[str, Any], str]:
        """The answer to an event as the runner gives it, or as Lambda words an end; and what was printed."""
        key = (function.function_arn, function.code_sha_256, function.handler, str(function.environment_vars))
        sandbox = self._take(key, function)
        try:
            answer = sandbox.invoke(event)
        except SandboxEnded as ended:
            self._discard(sandbox)
            return ended.answer, ended.output
        with self._lock:
            self._idle.setdefault(key, []).append(sandbox)
        return answer

    def close(self) -> None:
        """Ends all of them."""
        with self._lock:
            left, self._all, self._idle = self._all, set(), {}
        for sandbox in left:
            sandbox.close()

    def _take(self, key: Hashable, function: Any) -> Sandbox:
        with self._lock:
            if idle := self._idle.get(key):
                return idle.pop()
            sandbox = Sandbox(function, self._endpoint())
            self._all.add(sandbox)
            return sandbox

    def _discard(self, sandbox: Sandbox) -> None:
        with self._lock:
            known = sandbox in self._all
            self._all.discard(sandbox)
        if known:  # else the account was closed meanwhile
            sandbox.close()


def _environ(function: Any, folder: str, endpoint: str) -> dict[str, str]:
    return {
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
