"""The same commit and environment give the same templates, byte for byte, with no network and no credentials."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.environments import ROOT
from infra.node import use_node

# In every Python of the run: an attempt to reach the network, or the name of a host, is an error.
_GUARD = """
import socket

def _refuse(*arguments, **options):
    raise RuntimeError(f"synth reached for the network: {arguments}")

_connect = socket.socket.connect
socket.socket.connect = lambda self, *rest: _connect(self, *rest) if self.family == socket.AF_UNIX else _refuse(*rest)
socket.getaddrinfo = _refuse
"""


def _without_network() -> list[str]:
    """A command prefix that cuts the network for Node.js too, where the machine lets us."""
    unshare = shutil.which("unshare")
    for flags in (["-n"], ["-r", "-n"]):
        if unshare and subprocess.run([unshare, *flags, "true"], capture_output=True, check=False).returncode == 0:
            return [unshare, *flags]
    pytest.skip("cutting the network needs unshare -n, which this machine does not allow")


def _start(outdir: Path, guard: Path, *, hash_seed: int) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_", "IMGPIPE_"))}
    environment |= {
        "CDK_OUTDIR": str(outdir),
        "CDK_CONTEXT_JSON": json.dumps({"env": "dev"}),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "JSII_NODE": str(use_node()),
        "PYTHONPATH": str(guard),
        "PYTHONHASHSEED": str(hash_seed),
    }
    command = [*_without_network(), sys.executable, "app.py"]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _templates(outdir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(outdir.glob("*.template.json"))}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    """Output folders of two runs of `python app.py` in different processes with different hash seeds."""
    folder = tmp_path_factory.mktemp("determinism")
    (folder / "sitecustomize.py").write_text(_GUARD)
    outdirs = [folder / "one", folder / "two"]
    processes = [_start(outdir, folder, hash_seed=seed) for seed, outdir in enumerate(outdirs, start=1)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    return outdirs


def test_two_runs_without_network_and_credentials_write_the_same_bytes(runs):
    first, second = (_templates(outdir) for outdir in runs)
    stacks = ("dataset", "training", "serving", "classification", "monitoring")
    assert set(first) == {f"imgpipe-dev-{stack}.template.json" for stack in stacks}
    assert first == second


def test_the_command_and_the_function_write_the_same_bytes(runs, assembly):
    assert _templates(runs[0]) == _templates(assembly("dev"))


def test_templates_name_no_place_and_no_time(runs):
    for text in _templates(runs[0]).values():
        assert str(ROOT).encode() not in text
        assert b"CDKMetadata" not in text
