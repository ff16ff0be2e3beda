"""What mypy, told of the oldest supported Python, does not see: behaviour that came with a patch release."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("app.py", "benchmarks", "functions", "imgpipe", "infra", "local", "pipeline_def", "processing", "tests")


def _files(root: Path) -> Iterator[Path]:
    for part in PARTS:
        place = root / part
        yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def unfiltered(root: Path) -> list[str]:
    """Where tarfile unpacks by itself: `filter` is missing before 3.10.12 and 3.11.4, and all else is unsafe."""
    found = []
    for path in _files(root):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))))
        modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
        found += [
            f"{path.relative_to(root).as_posix()}:{call.lineno}"
            for call in calls
            if "tarfile" in modules and call.func.attr in {"extractall", "extract"}  # type: ignore[attr-defined]
        ]
    return found


def test_archives_are_unpacked_by_our_own_helpers() -> None:
    assert unfiltered(ROOT) == [], "use local.archives.unpack_model_archive or common.archive.extract_files"


@pytest.mark.parametrize(
    "text",
    [
        'import tarfile\nwith tarfile.open("x") as tar:\n    tar.extractall("y", filter="data")',
        'from tarfile import open\nopen("x").extractall("y")',
        'def f():\n    import tarfile\n    tarfile.open("x").extract("y")',
    ],
)
def test_a_use_of_tarfiles_own_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "app.py").write_text(text)
    assert unfiltered(tmp_path) == [f"app.py:{text.count(chr(10)) + 1}"]


def test_a_zip_archive_is_none(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text('import zipfile\nzipfile.ZipFile("x").extractall("y")')
    assert unfiltered(tmp_path) == []
