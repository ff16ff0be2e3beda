"""The documentation tells the truth: what it links to, names and quotes exists."""

from __future__ import annotations

import ast
import functools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from imgpipe.cli import app
from pipeline_def.definition import build_definition
from pipeline_def.hyperparameters import table
from pipeline_def.settings import PIPELINES, PipelineSettings
from preprocess.folder import command_line_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
SHIPPED_TEXTS = [
    *PAGES,
    *sorted((ROOT / "docs").rglob("*.svg")),
    *sorted((ROOT / ".github").rglob("*.yml")),
    *sorted(path for path in (ROOT / "scripts").rglob("*") if path.is_file()),
    ROOT / "buildspec.yml",
]
REGISTRIES = ("pypi.org", "pythonhosted.org", "npmjs.org", "npmjs.com", "conda.anaconda.org", "proxy.golang.org")

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]+`", "", text, flags=re.DOTALL)


def _code(text: str) -> Iterator[str]:
    """Every line of the code blocks, prompt taken off and continued lines joined, and every code span."""
    for block in re.findall(r"```[^\n]*\n(.*?)```", text, flags=re.DOTALL):
        yield from re.sub(r"\\\n", " ", block).replace("$ ", "").splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def _anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page
def test_links_inside_the_repository_resolve(path: Path) -> None:
    text = _without_code(path.read_text(encoding="utf-8"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    broken = []
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (anchor and anchor not in _anchors(found)):
            broken.append(target)
    assert broken == []


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"\((\d{4}-[^)]+\.md)\)", (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8"))
    assert listed == sorted(path.name for path in (ROOT / "docs/decisions").glob("0*.md"))


@page
def test_named_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    calls = [
        match[1] for line in _code(path.read_text(encoding="utf-8")) if (match := re.match(r"make ([a-z-]+)", line))
    ]
    assert set(calls) <= targets


@page
def test_named_commands_and_options_of_the_command_line_exist(path: Path) -> None:
    group = typer.main.get_command(app)
    for line in _code(path.read_text(encoding="utf-8")):
        match = re.match(r"(?:\.venv/bin/)?imgpipe +(.*)", line)
        if match and "-->" not in line:
            _check_call(group, shlex.split(match[1]), line)


def _check_call(group: Any, words: list[str], line: str) -> None:
    words = [word for word in words if word not in ("--debug", "--version", "...")]
    if not words:
        return
    assert words[0] in group.commands, line
    if words[0] == "pack":  # its options are those of a program of its own
        known = set(re.findall(r"--[a-z-]+", command_line_parser().format_help()))
    else:
        known = {option for parameter in group.commands[words[0]].params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, line


@page
def test_named_parameters_exist(path: Path) -> None:
    named = {name for line in _code(path.read_text(encoding="utf-8")) for name in re.findall(r"--param (\w+)=", line)}
    assert named <= _parameters()


@functools.cache
def _parameters() -> set[str]:
    definitions = (build_definition(PipelineSettings(), pipeline=name, region="us-east-1") for name in PIPELINES)
    known = {parameter["Name"] for text in definitions for parameter in json.loads(text)["Parameters"]}
    return known | {row.parameter_name for row in table().values()} | {"Name"}


def test_tables_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/write-docs-tables", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_outdated_table_is_noticed(tmp_path: Path) -> None:
    for name in ("environments", "infra", "pipeline_def", "processing"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "scripts").mkdir()
    script = tmp_path / "scripts" / "write-docs-tables"
    script.write_bytes((ROOT / "scripts" / "write-docs-tables").read_bytes())
    (tmp_path / "docs").mkdir()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(readme.replace("| `AccuracyThreshold` | ", "| `AccuracyThreshold` | 9"))
    command = [sys.executable, str(script)]
    checked = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr.startswith("out of date: README.md")) == (1, True)
    subprocess.run(command, check=True)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == readme


def test_quoted_messages_come_from_the_code() -> None:
    """In the table of messages, `...` stands for what differs; the rest must stand in a string of the code."""
    texts = _strings_of_the_code()
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert "| Message |" in operations
    messages = re.findall(r"^\| `([^`]+)` \|", operations.split("| Message |")[1].split("\n## ")[0], flags=re.MULTILINE)
    assert len(messages) > 10
    invented = [
        part
        for message in messages
        for part in re.split(r"\.\.\.|environments/dev\.yaml:", message)
        if part.strip(" :") and part.strip(" :") not in texts
    ]
    assert invented == []


def _strings_of_the_code() -> str:
    parts = [(ROOT / "Makefile").read_text(encoding="utf-8")]
    for folder in ("infra", "pipeline_def", "local", "imgpipe", "processing", "functions"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            parts += [
                node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    return "\n".join(parts)


@pytest.mark.parametrize("path", SHIPPED_TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_names_no_path_of_a_machine_and_no_package_registry(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.])/(?:work|tmp|root|home|Users)/\S*", text) == []
    assert [name for name in REGISTRIES if name in text] == []


@page
def test_nothing_is_left_to_fill_in(path: Path) -> None:
    assert [
        line for line in path.read_text(encoding="utf-8").splitlines() if re.search(r"\bTODO\b|\bTBD\b", line)
    ] == []


def test_licence_is_the_one_that_the_package_declares() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_changelog_has_a_section_for_the_version_or_for_what_is_unreleased() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.search(r'__version__ = "(.+)"', (ROOT / "imgpipe/__init__.py").read_text(encoding="utf-8"))
    assert version
    assert f"## [{version[1]}]" in changelog or ("## [Unreleased]" in changelog and version[1] in changelog)
