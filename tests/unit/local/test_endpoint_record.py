"""endpoint.json: what was written is read, a record that outlived its process is none, and ending is by number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.endpoint.record import NAME, EndpointRecord, ProcessMark, live_record, read_record
from local.errors import LocalRunError

PATIENCE_SECONDS = 30
WAITING = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def record(host: ProcessMark, *programs: ProcessMark) -> EndpointRecord:
    return EndpointRecord(name="e", host=host, port=4711, token="secret", programs=programs)


def test_what_is_written_is_read(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    written = record(ProcessMark.of(os.getpid()), ProcessMark.of(process.pid))
    written.write(tmp_path / "new")
    assert read_record(tmp_path / "new") == written
    assert live_record(tmp_path / "new") == written
    assert written.url == "http://127.0.0.1:4711"
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0, "the token is for its owner's eyes"


def test_without_a_file_there_is_no_record(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert live_record(tmp_path / "nowhere") is None


def test_a_number_that_another_process_got_is_not_taken_for_the_host(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    mark = ProcessMark.of(process.pid)
    earlier = ProcessMark(pid=mark.pid, started=mark.started - 60)
    record(earlier, earlier).write(tmp_path)
    assert earlier.process() is None
    assert live_record(tmp_path) is None
    assert not (tmp_path / NAME).exists()
    assert process.poll() is None, "it is somebody else's"


def test_a_killed_host_leaves_no_program(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE) as host:
        mark = ProcessMark.of(host.pid)
        record(mark, ProcessMark.of(process.pid)).write(tmp_path)
        host.kill()
        os.waitid(os.P_PID, host.pid, os.WEXITED | os.WNOWAIT)  # dead, and its number not free yet
        assert live_record(tmp_path) is None
    assert process.wait(PATIENCE_SECONDS) < 0
    assert not (tmp_path / NAME).exists()


def test_ending_ends_host_and_programs(tmp_path: Path, process: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE) as host:
        mark = ProcessMark.of(host.pid)
        record(mark, ProcessMark.of(process.pid)).end()
        assert mark.process() is None
        assert process.wait(PATIENCE_SECONDS) < 0


@pytest.mark.parametrize(
    "change", [{"schema_version": 2}, {"host": None}, {"programs": 1}, {"port": ...}, {"more": 1}], ids=str
)
def test_another_format_is_one_line(tmp_path: Path, change: dict[str, Any]) -> None:
    record(ProcessMark.of(os.getpid())).write(tmp_path)
    content = json.loads((tmp_path / NAME).read_text()) | change
    content = {name: value for name, value in content.items() if value is not ...}
    (tmp_path / NAME).write_text(json.dumps(content))
    with pytest.raises(LocalRunError, match=r"endpoint\.json cannot be read .*: remove it") as raised:
        read_record(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_json_is_one_line(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("[")
    with pytest.raises(LocalRunError, match=r"endpoint\.json cannot be read"):
        live_record(tmp_path)
