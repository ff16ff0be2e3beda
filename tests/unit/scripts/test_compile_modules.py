"""The program that gives the functions' layer its byte code: in this Python, and in Pyodide as the layer needs it."""

from __future__ import annotations

import importlib.util
import marshal
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.environments import ROOT
from infra.layers import sources_layer
from infra.node import use_node

PROGRAM = ROOT / "scripts" / "compile-modules"
IN_PYODIDE = ROOT / "scripts" / "compile-modules.mjs"
HERE = ".".join(platform.python_version_tuple()[:2])
PLACE = "/opt/python"


def _compile(folder: Path, version: str, *, pyodide: bool = False) -> subprocess.CompletedProcess[str]:
    program = [str(use_node()), str(IN_PYODIDE)] if pyodide else [sys.executable, str(PROGRAM)]
    command = [*program, str(folder), PLACE, version]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("from .inner import answer")
    (tmp_path / "package" / "inner.py").write_text("def answer():\n    return 42\n")
    (tmp_path / "package" / "data.txt").write_text("no module")
    return tmp_path


def test_every_module_gets_byte_code_that_names_the_place_to_be(folder: Path) -> None:
    assert _compile(folder, HERE).returncode == 0
    caches = {path.name: path.read_bytes() for path in (folder / "package" / "__pycache__").iterdir()}
    tag = f"{sys.implementation.cache_tag}.pyc"
    assert set(caches) == {f"__init__.{tag}", f"inner.{tag}"}
    content = caches[f"inner.{tag}"]
    assert content[:8] == importlib.util.MAGIC_NUMBER + b"\x01\0\0\0"  # PEP 552: by hash, unchecked
    assert content[8:16] == importlib.util.source_hash((folder / "package" / "inner.py").read_bytes())
    assert marshal.loads(content[16:]).co_filename == f"{PLACE}/package/inner.py"


def test_imports_of_the_layers_modules_run_on_their_byte_code(tmp_path: Path) -> None:
    with zipfile.ZipFile(sources_layer().built()) as archive:
        archive.extractall(tmp_path)
    packages = tmp_path / "python"
    done = _compile(packages, HERE)
    assert (done.returncode, done.stderr) == (0, "")
    for path in packages.rglob("*.py"):  # what an import that looked at sources would find
        path.write_text("raise AssertionError")
    program = "from aws_lambda_powertools import Logger; import sys; print(sys.modules[Logger.__module__].__file__)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={"PYTHONPATH": str(packages)}, capture_output=True, text=True, check=False)
    assert done.stdout.strip().startswith(str(packages)), done.stderr


@pytest.mark.parametrize(
    ("text", "reason"), [("def f(:\n", "line 1"), ("x = '\0'", "null bytes"), ("x = 'é'", "utf-8")]
)
def test_a_module_that_does_not_compile_is_one_line(folder: Path, text: str, reason: str) -> None:
    (folder / "package" / "wrong.py").write_bytes(text.encode("latin-1"))
    done = _compile(folder, HERE)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {PLACE}/package/wrong.py does not compile in Python {HERE}: ")
    assert reason in line


def test_another_python_is_one_line(folder: Path) -> None:
    done = _compile(folder, "3.9")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("error: byte code of Python 3.9 was asked for, and this is 3.")
    assert not (folder / "package" / "__pycache__").exists()


def test_pyodide_compiles_in_lambdas_python_and_names_what_it_cannot(folder: Path) -> None:
    (folder / "z_wrong.py").write_text("match = t'{x}'; def f(:\n")
    done = _compile(folder, "3.14", pyodide=True)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {PLACE}/z_wrong.py does not compile in Python 3.14: ")
    content = (folder / "package" / "__pycache__" / "inner.cpython-314.pyc").read_bytes()
    assert content[:8] == (3627).to_bytes(2, "little") + b"\r\n\x01\0\0\0"
    assert f"{PLACE}/package/inner.py".encode() in content


def test_what_fails_besides_is_no_page_of_minified_code(tmp_path: Path) -> None:
    done = _compile(tmp_path / "none", "3.14", pyodide=True)
    assert done.returncode == 1
    assert "does not exist" in done.stderr
    assert len(done.stderr) < 2000
