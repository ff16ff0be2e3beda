"""What a cold start of each classification function loads; benchmarks/cold_imports measures how long that takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from infra.environments import ROOT

# Making a client reads the service's model, which takes longer than all imports: handlers make theirs when asked.
PROGRAM = """
import json, sys
if {calls}:
    import botocore.session
    def refused(*_arguments, **_named):
        raise AssertionError("a client is made at import")
    botocore.session.Session.create_client = refused
import {name}.handler
print(json.dumps(sorted(sys.modules)))
"""
# Powertools, its parser and the tracer, with what they need.
SHARED = {
    "annotated_types",
    "aws_lambda_powertools",
    "aws_xray_sdk",
    "jmespath",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "typing_inspection",
    "wrapt",
}
RUNTIME = {"boto3", "botocore", "certifi", "dateutil", "s3transfer", "six", "urllib3"}
WANTED = {"serialize": SHARED | RUNTIME | {"PIL"}, "classify": SHARED | RUNTIME, "filter": SHARED | {"botocore"}}


def _loaded(name: str) -> set[str]:
    """Modules after the import in a process as Lambda's, with tracing on."""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "functions"), "LAMBDA_TASK_ROOT": "/var/task"}
    program = PROGRAM.format(name=name, calls=name != "filter")
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", sorted(WANTED))
def test_a_cold_start_loads_what_it_uses(name: str) -> None:
    loaded = _loaded(name)
    installed = {module.split(".")[0] for module in loaded} - sys.stdlib_module_names - {name}
    # An editable installation, and the site of a virtual environment, leave hooks of theirs.
    assert {module for module in installed if not module.startswith("_")} <= WANTED[name]
    # Formats are loaded by the first image, colour management by none.
    assert not {module for module in loaded if module.startswith("PIL.") and "Plugin" in module} | (
        loaded & {"PIL.ImageCms", "PIL.ImageFilter"}
    )
    # X-Ray patches what it is told to; all that it knows would load their libraries.
    patched = {module.split(".")[2] for module in loaded if module.startswith("aws_xray_sdk.ext.")}
    assert patched <= {"boto_utils", "botocore", "util"}
    if name == "filter":
        assert not loaded & {"botocore.session", "botocore.client"}
