"""The functions' layer: its zip follows from the packages' files alone."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from infra.layers import BUILDER

FILES = {
    "pydantic/main.py": "a = 1",
    "pydantic/inner/data.bin": "b",
    "aws/__init__.py": "",
    "pydantic-2.0.dist-info/METADATA": "Name: pydantic",
}
NOISE = {
    "bin/command": "",
    "pydantic/main.pyi": "",
    "pydantic/__pycache__/main.cpython-314.pyc": "",
    "boto3-stubs/__init__.py": "",
    ".lock": "",
    "pydantic-2.0.dist-info/RECORD": "",
    "pydantic-2.0.dist-info/INSTALLER": "uv",
}


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("build_function_layer", str(BUILDER))
    specification = importlib.util.spec_from_loader(loader.name, loader)
    assert specification
    module = importlib.util.module_from_spec(specification)
    loader.exec_module(module)
    return module


def _packed(builder: ModuleType, folder: Path, files: dict[str, str], *, seconds: int, mode: int) -> bytes:
    for name, content in files.items():
        path = folder / "packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        os.utime(path, (seconds, seconds))
    builder.pack(folder / "packages", folder / "layer.zip")
    return (folder / "layer.zip").read_bytes()


def test_a_second_build_gives_the_same_bytes(builder: ModuleType, tmp_path: Path) -> None:
    first = _packed(builder, tmp_path / "a", FILES, seconds=1_000_000_000, mode=0o644)
    other_order = dict(reversed(list(FILES.items())))
    assert _packed(builder, tmp_path / "b", other_order, seconds=1_700_000_000, mode=0o600) == first
    assert _packed(builder, tmp_path / "c", FILES | {"new.py": ""}, seconds=1_000_000_000, mode=0o644) != first


def test_a_layer_holds_what_lambda_imports_and_no_more(builder: ModuleType, tmp_path: Path) -> None:
    _packed(builder, tmp_path, FILES | NOISE, seconds=1_000_000_000, mode=0o600)
    with zipfile.ZipFile(tmp_path / "layer.zip") as archive:
        assert set(archive.namelist()) == {f"python/{name}" for name in FILES}
        assert archive.read("python/pydantic/main.py") == b"a = 1"
        # Lambda runs as another user than the one that the zip was built by.
        assert all(entry.external_attr >> 16 & 0o444 == 0o444 for entry in archive.infolist())
