"""SageMaker's directory contract under one root, and how a container reports that it failed."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Literal, NoReturn

# SageMaker shows the first 1,024 characters of output/failure (training) and output/message (processing).
MESSAGE_LIMIT_BYTES = 1024
SIGINT_EXIT_CODE = 128 + signal.SIGINT
# Failures of the machine and not of the program: what they are, and the way out.
SYSTEM_FAILURES = {
    errno.ENOSPC: "disk full while writing {}: give the job a larger volume",
    errno.EDQUOT: "disk quota used up while writing {}: free some of it, or have it raised",
    errno.EFBIG: "file too large while writing {}: raise the limit (ulimit -f), or use another file system",
    errno.EROFS: "read-only file system, so {} cannot be written: give a folder elsewhere",
    errno.EMFILE: "too many open files at {}: raise the limit (ulimit -n)",
    errno.EIO: "input/output error at {}: the disk or the connection to it fails; use another one",
    errno.EACCES: "no permission for {}: change its permissions or those of its folder, or give another folder",
    errno.EPERM: "no permission for {}: change its owner or attributes, or give another folder",
}


class ContainerError(Exception):
    """A failure with a one-line message for a person: what is wrong, what is allowed, the way out."""


def ml_root() -> Path:
    """Return the root of the contract: $ML_ROOT, or /opt/ml as on SageMaker."""
    return Path(os.environ.get("ML_ROOT") or "/opt/ml")


def processing_input(name: str) -> Path:
    """Return the directory of the processing input ``name``."""
    return ml_root() / "processing" / "input" / name


def processing_output(name: str) -> Path:
    """Return the directory of the processing output ``name``."""
    return ml_root() / "processing" / "output" / name


def instance() -> tuple[str, list[str]]:
    """Return this instance's name and all instances' names; one instance where no resourceconfig.json says otherwise.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
    """
    path = ml_root() / "config" / "resourceconfig.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return str(content["current_host"]), [str(host) for host in content["hosts"]]
    except FileNotFoundError:
        return "algo-1", ["algo-1"]
    except (ValueError, KeyError, TypeError) as error:
        raise ContainerError(f"{path} does not name current_host and hosts: {error}") from None


def run(main: Callable[[], None], *, failure_file: Literal["message", "failure"] | None) -> NoReturn:
    """Call ``main`` and exit: 0, or 1 with the reason on stderr and in ``$ML_ROOT/output/<failure_file>``, if any.

    A ContainerError and a failure of the disk are one line; anything else is a bug and prints its traceback as well.
    SIGTERM (how SageMaker stops a job) exits with 143, SIGINT with 130 and SIGHUP (a terminal that is closed) with 129,
    after context managers cleaned up.
    """
    signal.signal(signal.SIGTERM, _exit_on_signal)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _exit_on_signal)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(SIGINT_EXIT_CODE)
    except Exception as error:  # the one place where every failure becomes a reason that SageMaker shows
        _fail(_reason(error), failure_file)
    sys.exit(0)


def _exit_on_signal(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def _reason(error: Exception) -> str:
    if isinstance(error, ContainerError):
        return str(error)
    if isinstance(error, OSError) and (known := SYSTEM_FAILURES.get(error.errno or 0)):
        return known.format(error.filename or "an output")
    traceback.print_exception(error)
    return f"internal error: {type(error).__name__}: {error}"


def _fail(reason: str, failure_file: str | None) -> NoReturn:
    line = " ".join(reason.split())
    if failure_file is None:
        print(f"error: {line}".encode(errors="backslashreplace").decode(), file=sys.stderr, flush=True)
        sys.exit(1)
    print(line.encode(errors="backslashreplace").decode(), file=sys.stderr, flush=True)
    path = ml_root() / "output" / failure_file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_cut(line))
    except OSError as error:
        print(f"cannot write {path}: {error.strerror}", file=sys.stderr, flush=True)
    sys.exit(1)


def _cut(line: str) -> bytes:
    """Encode ``line`` in at most MESSAGE_LIMIT_BYTES bytes, never ending inside a character."""
    encoded = line.encode("utf-8", errors="backslashreplace")
    if len(encoded) <= MESSAGE_LIMIT_BYTES:
        return encoded
    return encoded[: MESSAGE_LIMIT_BYTES - 3].decode("utf-8", errors="ignore").encode() + b"..."
