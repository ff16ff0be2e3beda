"""The functions' layer: its zip follows from the packages' files alone, and a deployment gets the compiled one."""

from __future__ import annotations

import _imp
import dataclasses
import importlib.machinery
import importlib.util
import os
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from infra import layers
from infra.errors import InfraError
from infra.layers import BUILDER, LayerZip, compiled_layer, sources_layer, wanted_layer
from infra.node import use_node

# Of all releases of Python 3.14: PYC_MAGIC_NUMBER of its Include/internal/pycore_magic_number.h.
MAGIC = (3627).to_bytes(2, "little") + b"\r\n"

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
    packages = folder / "packages"
    builder.write(packages, builder.wanted_files(packages), folder / "layers" / "layer.zip")
    return (folder / "layers" / "layer.zip").read_bytes()


def test_a_second_build_gives_the_same_bytes(builder: ModuleType, tmp_path: Path) -> None:
    first = _packed(builder, tmp_path / "a", FILES, seconds=1_000_000_000, mode=0o644)
    other_order = dict(reversed(list(FILES.items())))
    assert _packed(builder, tmp_path / "b", other_order, seconds=1_700_000_000, mode=0o600) == first
    assert _packed(builder, tmp_path / "c", FILES | {"new.py": ""}, seconds=1_000_000_000, mode=0o644) != first


def test_a_layer_holds_what_lambda_imports_and_no_more(builder: ModuleType, tmp_path: Path) -> None:
    _packed(builder, tmp_path, FILES | NOISE, seconds=1_000_000_000, mode=0o600)
    with zipfile.ZipFile(tmp_path / "layers" / "layer.zip") as archive:
        assert set(archive.namelist()) == {f"python/{name}" for name in FILES}
        assert archive.read("python/pydantic/main.py") == b"a = 1"
        # Lambda runs as another user than the one that the zip was built by.
        assert all(entry.external_attr >> 16 & 0o444 == 0o444 for entry in archive.infolist())


def test_a_layer_is_written_whole_and_takes_the_place_of_earlier_ones(builder: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "layers").mkdir()
    for name in ("sources-0.zip", "sources-0.part"):
        (tmp_path / "layers" / name).write_text("of earlier requirements")
    _packed(builder, tmp_path, FILES, seconds=1_000_000_000, mode=0o644)
    assert [path.name for path in (tmp_path / "layers").iterdir()] == ["layer.zip"]


def test_a_layer_too_large_for_lambda_is_one_line(builder: ModuleType, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(builder, "MAX_UNPACKED_BYTES", 5)
    with pytest.raises(
        SystemExit, match=r"^error: the functions' layer has \d+ bytes, Lambda takes 5: drop a package$"
    ):
        _packed(builder, tmp_path, FILES, seconds=1_000_000_000, mode=0o644)
    assert not (tmp_path / "layers").exists()


def _content(layer: LayerZip) -> dict[str, bytes]:
    with zipfile.ZipFile(layer.built()) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_every_module_of_the_compiled_layer_has_byte_code_for_lambdas_python() -> None:
    compiled, sources = _content(compiled_layer()), _content(sources_layer())
    key = int.from_bytes(MAGIC, "little")  # the release's own, so importlib.util.source_hash would give another hash
    modules = {name: content for name, content in sources.items() if name.endswith(".py")}
    assert len(modules) > 500
    for name, content in modules.items():
        path = Path(name)
        code = compiled[f"{path.parent}/__pycache__/{path.stem}.cpython-314.pyc"]
        assert code[:8] == MAGIC + b"\x01\0\0\0", name  # PEP 552: by hash, unchecked
        assert code[8:16] == _imp.source_hash(key, content), name
        assert f"/opt/{name}".encode() in code, name
    assert {name: compiled[name] for name in sources} == sources
    assert len(compiled) == len(sources) + len(modules)
    assert sum(map(len, compiled.values())) < 50_000_000


@pytest.mark.slow
def test_compiling_the_layer_again_gives_the_same_bytes(builder: ModuleType, monkeypatch, tmp_path: Path) -> None:
    class Elsewhere:
        path = tmp_path / "layers" / "again.zip"

    monkeypatch.setattr(builder, "compiled_layer", Elsewhere)
    builder.build_compiled(str(use_node()))
    assert Elsewhere.path.read_bytes() == compiled_layer().built().read_bytes()


def test_only_the_cdks_command_line_which_deploys_gets_byte_code(monkeypatch) -> None:
    monkeypatch.delenv("CDK_CLI_VERSION", raising=False)
    assert wanted_layer() == sources_layer()
    monkeypatch.setenv("CDK_CLI_VERSION", "2.1148.1")
    assert wanted_layer() == compiled_layer()


@pytest.mark.parametrize(("layer", "target"), [(sources_layer, "setup"), (compiled_layer, "setup-cdk")])
def test_a_missing_layer_is_one_line_with_the_way_out(layer, target: str) -> None:
    other = dataclasses.replace(layer(), digest="0" * 64)
    line = rf"^\.make/layers/[a-z]+-0{{64}}\.zip, the functions' layer, is missing: run `make {target}`$"
    with pytest.raises(InfraError, match=line):
        other.built()


def test_a_layers_name_follows_from_all_that_makes_it(monkeypatch, tmp_path: Path) -> None:
    sources, compiled = sources_layer().digest, compiled_layer().digest
    other = tmp_path / "other"
    other.write_text('{"devDependencies": {"pyodide": "314.0.8"}}')
    for name, changes_sources in (("_NPM_PACKAGES", False), ("BUILDER", True), ("REQUIREMENTS", True)):
        with monkeypatch.context() as patch:
            patch.setattr(layers, name, other)
            assert (sources_layer().digest != sources) == changes_sources, name
            assert compiled_layer().digest != compiled, name
    monkeypatch.setattr(layers, "COMPILER", (other, other))
    assert sources_layer().digest == sources
    assert compiled_layer().digest != compiled
