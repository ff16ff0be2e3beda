"""The local endpoint has one who changes it at a time, and its record belongs to one process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local.endpoint.record import NAME, EndpointRecord, ProcessMark, forget
from local.endpoint.state import changing, endpoint_directory
from local.errors import LocalRunError


def test_a_second_deployment_is_refused_at_once(tmp_path: Path) -> None:
    with changing(tmp_path, "dev"):
        with (
            pytest.raises(LocalRunError, match=r"^another deployment of dev is running on this machine: wait"),
            changing(tmp_path, "dev"),
        ):
            raise AssertionError("both are in")
        with changing(tmp_path, "prod"):
            assert endpoint_directory(tmp_path, "prod").stat().st_mode & 0o077 == 0
    with changing(tmp_path, "dev"):
        pass


def test_a_process_that_ends_leaves_the_record_of_another_one(tmp_path: Path) -> None:
    EndpointRecord(name="e", host=ProcessMark.of(os.getpid()), port=1, token="t").write(tmp_path)
    forget(tmp_path, pid=os.getpid() + 1)
    assert (tmp_path / NAME).exists()
    forget(tmp_path, pid=os.getpid())
    assert not (tmp_path / NAME).exists()
    forget(tmp_path, pid=os.getpid())
