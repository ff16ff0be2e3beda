"""Trained models of the packaging tests, each made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from digits import Job, trained_job


@pytest.fixture(scope="session")
def one_label(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Ten classes, each image of one."""
    return trained_job(tmp_path_factory.mktemp("one_label"), several=False)


@pytest.fixture(scope="session")
def several_labels(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Three classes, each image of none, some or all."""
    return trained_job(tmp_path_factory.mktemp("several_labels"), several=True)


@pytest.fixture
def job(one_label: Job, tmp_path: Path) -> Job:
    """A packaging job of the ten classes that a test may change."""
    return one_label.copy(tmp_path / "ml")


@pytest.fixture
def job_of_several(several_labels: Job, tmp_path: Path) -> Job:
    """A packaging job of several labels that a test may change."""
    return several_labels.copy(tmp_path / "ml")
