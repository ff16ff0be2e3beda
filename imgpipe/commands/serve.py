"""`imgpipe serve`: Serves a packaged model on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, Annotated, Any, Final, NoReturn

import typer

from imgpipe.errors import CommandError
from imgpipe.project import ROOT

HOST: Final = "127.0.0.1"
# A little longer than the program takes to answer the requests that have begun.
STOP_SECONDS: Final = 30.0
ERROR_PREFIX: Final = "error: "


class _Ended(BaseException):
    """A signal that says to end, other than Ctrl-C; no Exception, so that nothing takes it for a failure."""


def serve(
    model: Annotated[Path, typer.Option("--model", help="A packaged model.tar.gz: `serving/` of a model version.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of this machine; 0: any free.")] = 8080,
) -> None:
    """Serve a packaged model on this machine with the endpoint's own program."""
    if not model.is_file():
        raise CommandError(f"{model} does not exist: give a model version's model.tar.gz, from its serving/ folder")
    with tempfile.TemporaryDirectory(prefix="imgpipe-serve-") as root, _signals_end():
        try:
            with _program(model.resolve(), port, Path(root)) as process:
                _follow(process)
        except _Ended:
            typer.echo("Stopped")


@contextmanager
def _program(model: Path, port: int, root: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the serve container's program; at the end it answers what has begun, and then ends."""
    environment = os.environ | {
        "ML_ROOT": str(root),
        "PYTHONPATH": str(ROOT / "processing"),
        "SAGEMAKER_BIND_TO_PORT": str(port),
    }
    command = [sys.executable, "-m", "serve", "serve", "--host", HOST, "--archive", str(model)]
    # In a session of its own: Ctrl-C is for this process, which then tells the program.
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=STOP_SECONDS)
    except BaseException:  # it hangs, or there was a second Ctrl-C
        process.kill()
        process.communicate()
        raise


def _follow(process: subprocess.Popen[str]) -> NoReturn:
    """Show what the program does until it ends, which only a failure makes it do by itself."""
    assert process.stdout
    assert process.stderr
    errors: list[str] = []
    # Beside: a program that writes much to a pipe that nobody reads would wait for ever.
    reader = threading.Thread(target=_collect, args=(process.stderr, errors), daemon=True)
    reader.start()
    for line in process.stdout:
        _show(line)
    reader.join()
    reason = errors[-1] if errors else f"the server ended with {process.wait()}"
    raise CommandError(reason.removeprefix(ERROR_PREFIX))


def _collect(stream: IO[str], lines: list[str]) -> None:
    lines.extend(line.strip() for line in stream if line.strip())


def _show(line: str) -> None:
    try:
        content: dict[str, Any] = json.loads(line)
    except ValueError:
        typer.echo(line.rstrip())  # a library's own words
        return
    if content["event"] == "listening":
        url = f"http://{content['host']}:{content['port']}/invocations"
        typer.echo(f"Serving at {url}, until Ctrl-C; for instance:")
        attributes = "-H 'X-Amzn-SageMaker-Custom-Attributes: verbose=true'"
        typer.echo(f"  curl {url} -H 'Content-Type: application/x-image' {attributes} --data-binary @IMAGE.jpg")
    elif content["event"] == "request":
        what = content.get("code") or f"{content.get('images', 0)} images"
        method, path, status = content["method"], content["path"], content["status"]
        typer.echo(f"{method} {path} {status} {what}, {content['milliseconds']} ms")
    elif content["level"] in {"warning", "error"}:
        typer.echo(content.get("traceback") or content["event"])


@contextmanager
def _signals_end() -> Iterator[None]:
    """While open, being ended or losing the terminal ends the program too."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise _Ended

    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
