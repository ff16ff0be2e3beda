"""app.py as a person meets it: one line on what is wrong, exit code 1, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.environments import ROOT


def _run(root: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("IMGPIPE_ENV", "CDK_CONTEXT_JSON")}
    return subprocess.run(
        [sys.executable, "app.py"], cwd=root, env=environment | variables, capture_output=True, text=True, check=False
    )


def _only_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 1, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.fixture
def copy(tmp_path) -> Path:
    """What app.py reads, to be changed."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("infra", "pipeline_def", "environments", "processing", "functions", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    for name in ("app.py", "cdk.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / ".make").symlink_to(ROOT / ".make")
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "start"),
    [
        ({}, "error: no environment chosen"),
        ({"IMGPIPE_ENV": "qa"}, "error: environment 'qa' is unknown"),
        ({"CDK_CONTEXT_JSON": json.dumps({"env": "live"})}, "error: environment 'live' is unknown"),
        (
            {"CDK_CONTEXT_JSON": json.dumps({"env": "live"}), "IMGPIPE_ENV": "dev"},
            "error: environment 'live' is unknown",
        ),
    ],
)
def test_unknown_or_missing_environment_names_the_available_ones(variables, start):
    line = _only_line(_run(ROOT, **variables))
    assert line.startswith(start)
    assert line.endswith("one of dev, prod, staging")


def test_a_typo_in_the_settings_names_file_key_and_nearest_name(copy):
    file = copy / "environments" / "dev.yaml"
    file.write_text(file.read_text().replace("retain_on_destroy", "retian_on_destroy"))
    line = _only_line(_run(copy, IMGPIPE_ENV="dev"))
    assert "environments/dev.yaml: unknown key retian_on_destroy; did you mean retain_on_destroy?" in line


def test_a_region_without_the_built_in_image_is_one_line(copy):
    file = copy / "environments" / "prod.yaml"
    file.write_text(file.read_text().replace("us-east-1", "eu-nowhere-7"))
    line = _only_line(_run(copy, IMGPIPE_ENV="prod"))
    assert "environments/prod.yaml" in line
    assert "eu-nowhere-7" in line


def test_a_missing_node_is_one_line():
    line = _only_line(_run(ROOT, IMGPIPE_ENV="dev", JSII_NODE="/nowhere/node"))
    assert "/nowhere/node" in line
    assert "make setup" in line
