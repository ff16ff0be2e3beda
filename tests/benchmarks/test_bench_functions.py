"""The benchmark of the functions' cold imports measures what it says."""

import re
from pathlib import Path

from benchmarks import cold_imports


def test_copied_packages_are_those_of_the_layer_without_byte_code(tmp_path: Path) -> None:
    cold_imports.copy_packages(tmp_path)
    assert {"pydantic", "aws_lambda_powertools", "PIL"} <= {path.name for path in tmp_path.iterdir()}
    assert "boto3" not in {path.name for path in tmp_path.iterdir()}
    assert not list(tmp_path.rglob("__pycache__"))


def test_it_reports_both_figures_of_every_function(tmp_path: Path, capsys) -> None:
    cold_imports.report(tmp_path, rounds=1)
    lines = capsys.readouterr().out.splitlines()[1:]
    figures = [re.fullmatch(r"(\w+) +(\d+) without byte code, +(\d+) with it", line) for line in lines]
    assert [match[1] for match in figures if match] == list(cold_imports.FUNCTIONS)
    assert all(int(match[2]) > int(match[3]) for match in figures if match)
    assert not list((tmp_path / "sources").rglob("__pycache__")), "the figure without would be one with"
