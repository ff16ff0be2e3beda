"""Who may import whom: infrastructure and runtime code meet only through files."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CONTAINER_PACKAGES = ("common", "preprocess", "train", "evaluate", "package", "serve", "monitor", "join")
# Everything of ours that an import can name.
OURS = {
    "app",
    "infra",
    "pipeline_def",
    "local",
    "imgpipe",
    "functions",
    "benchmarks",
    "processing",
    *CONTAINER_PACKAGES,
}
# Part of the tree -> what of ours it may import besides itself.
ALLOWED = {
    "app.py": {"infra"},
    "infra": {"pipeline_def"},
    "pipeline_def": set(),
    "imgpipe": {"local"},
    "local": set(),
    "processing/common": set(),
    "processing/preprocess": {"common"},
    "processing/train": {"common"},
    "processing/evaluate": {"common"},
    # Its section of the report is drawn with the evaluation's templates.
    "processing/package": {"common", "evaluate"},
    # Images are read with the packer's own code.
    "processing/serve": {"common", "preprocess"},
    "processing/monitor": {"common", "preprocess"},
    "processing/join": {"common"},
    "functions": set(),
    "benchmarks": set(),
}
MAY_IMPORT_MXNET = {"processing/train", "processing/evaluate", "processing/package"}
# A program that MXNet's own Python runs, with the trainer's network.
IN_MXNET = {
    # The monitor's scores, over windows with and without drift.
    "benchmarks/drift_windows.py": {"common", "monitor", "preprocess"},
    "benchmarks/module_fit.py": {"mxnet", "train"},
    "benchmarks/module_predict.py": {"mxnet"},
    # The same for the server's session, without the server.
    "benchmarks/session_predict.py": {"serve"},
}
# Lambda's runtime brings boto3; the functions of the classification workflow have a layer besides.
FUNCTION_LIBRARIES = {"boto3", "botocore", *sys.stdlib_module_names}
LAYER_LIBRARIES = {"aws_lambda_powertools", "PIL", "pydantic"}
LAYERED = ("functions/serialize/", "functions/classify/", "functions/filter/")


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every absolute import, wherever it stands in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module.split(".")[0]


def _files(root: Path, part: str) -> list[Path]:
    place = root / part
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def violations(root: Path) -> list[str]:
    """One line for each import that the rules forbid."""
    found = []
    for part, allowed in ALLOWED.items():
        own = {Path(part).stem}
        for path in _files(root, part):
            for line, name in _imports(path):
                file = path.relative_to(root).as_posix()
                if name in IN_MXNET.get(file, ()):
                    continue
                where = f"{file}:{line}"
                if name in OURS - allowed - own:
                    found.append(f"{where}: {part} must not import {name}")
                if name == "mxnet" and part not in MAY_IMPORT_MXNET:
                    found.append(f"{where}: only {', '.join(sorted(MAY_IMPORT_MXNET))} may import mxnet")
                layered = LAYER_LIBRARIES if file.startswith(LAYERED) else set()
                if part == "functions" and name not in FUNCTION_LIBRARIES | layered:
                    found.append(f"{where}: a function has boto3 and the standard library only, not {name}")
    return found


def test_the_tree_keeps_the_rules():
    assert violations(ROOT) == []


def test_every_python_folder_has_a_rule():
    tops = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("[a-z]*/**/*.py")} - {"tests", "docs", "node_modules"}
    inner = {f"processing/{path.relative_to(ROOT).parts[1]}" for path in ROOT.glob("processing/*/**/*.py")}
    ruled = {part.split("/")[0] for part in ALLOWED}
    assert {top for top in tops if top not in ruled and not top.startswith("cdk")} == set()
    assert inner <= set(ALLOWED)


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("infra/a.py", "import local.emulator", "infra must not import local"),
        ("pipeline_def/a.py", "from infra.settings import X", "pipeline_def must not import infra"),
        ("imgpipe/a.py", "def f():\n    import infra", "imgpipe must not import infra"),
        ("local/a.py", "from imgpipe import cli", "local must not import imgpipe"),
        ("app.py", "import pipeline_def", "app.py must not import pipeline_def"),
        ("processing/common/a.py", "import train", "processing/common must not import train"),
        ("processing/preprocess/a.py", "from train import x", "processing/preprocess must not import train"),
        ("processing/preprocess/a.py", "import mxnet as mx", "may import mxnet"),
        ("processing/common/a.py", "from mxnet import nd", "may import mxnet"),
        ("functions/resolve/a.py", "import pydantic", "not pydantic"),
        ("functions/serialize/a.py", "import numpy", "not numpy"),
        ("functions/resolve/a.py", "import infra", "functions must not import infra"),
        ("benchmarks/a.py", "from local.memory import PeakMemory", "benchmarks must not import local"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path, path, text, expected):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")
    assert any(expected in line for line in violations(tmp_path))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("infra/a.py", "from pipeline_def.settings import PipelineSettings\nfrom infra.b import c"),
        ("processing/train/a.py", "import mxnet\nfrom common.files import write_json\nfrom train.b import c"),
        ("functions/resolve/a.py", "import json\nimport boto3"),
        ("functions/serialize/a.py", "import pydantic\nfrom PIL import Image\nfrom .request import read_request"),
        ("imgpipe/a.py", "from local.executor import run"),
    ],
)
def test_an_allowed_import_is_not(tmp_path, path, text):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n")
    assert violations(tmp_path) == []
