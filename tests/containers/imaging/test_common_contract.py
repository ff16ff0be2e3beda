"""The container contract: exit codes, the reason file, whole files, command lines."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common.arguments import ContainerParser, fraction, fraction_below_one, whole_number
from common.contract import ContainerError, ml_root, processing_input, processing_output, run
from common.files import AtomicFiles, atomic_write, write_json

SLEEPER = """
import pathlib, sys, time
from common.contract import run
from common.files import atomic_write
def main():
    with atomic_write(pathlib.Path(sys.argv[1]) / "big.bin") as file:
        file.write(b"half")
        print("ready", flush=True)
        time.sleep(60)
run(main, failure_file="message")
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ML_ROOT", str(tmp_path))
    return tmp_path


def exit_code(main: Callable[[], None]) -> int:
    with pytest.raises(SystemExit) as exited:
        run(main, failure_file="message")
    return int(exited.value.code)


def fail_with(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def test_paths_follow_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert processing_input("data") == root / "processing/input/data"
    assert processing_output("train") == root / "processing/output/train"
    monkeypatch.delenv("ML_ROOT")
    assert ml_root() == Path("/opt/ml")


def test_success_exits_zero_without_a_reason(root: Path) -> None:
    assert exit_code(lambda: None) == 0
    assert not (root / "output").exists()


def test_a_container_error_is_one_line_without_a_traceback(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(fail_with(ContainerError("no such\nfolder: give another"))) == 1
    assert (root / "output/message").read_text() == "no such folder: give another"
    assert capsys.readouterr().err == "no such folder: give another\n"


def test_a_bug_shows_its_traceback_and_says_so(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(fail_with(KeyError("x"))) == 1
    assert (root / "output/message").read_text() == "internal error: KeyError: 'x'"
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_names_the_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(fail_with(OSError(errno.ENOSPC, "No space left on device", "train.rec"))) == 1
    assert (root / "output/message").read_text().startswith("disk full while writing train.rec")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["EDQUOT", "EFBIG", "EROFS", "EIO", "EACCES", "EPERM"])
def test_other_failures_of_the_machine_are_one_line_too(
    root: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert exit_code(fail_with(OSError(getattr(errno, name), "whatever", "/x/train.rec"))) == 1
    message = capsys.readouterr().err
    assert "/x/train.rec" in message
    assert message.count("\n") == 1
    assert "internal error" not in message


def test_a_really_full_device_names_the_target(root: Path) -> None:
    def main() -> None:
        with AtomicFiles() as files:
            file = files.open(root / "out" / "train.rec")
            with Path("/dev/full").open("wb") as full:  # the same file, on a device where every write fails
                os.dup2(full.fileno(), file.fileno())
            file.write(b"x")

    assert exit_code(main) == 1
    assert (root / "output/message").read_text().startswith(f"disk full while writing {root}/out/train.rec")
    assert list((root / "out").iterdir()) == []


def test_a_long_message_is_cut_inside_the_limit(root: Path) -> None:
    assert exit_code(fail_with(ContainerError("ä" * 2000))) == 1
    written = (root / "output/message").read_bytes()
    assert len(written) <= 1024
    assert written.decode().startswith("ääää")
    assert written.endswith(b"...")


def test_sigterm_exits_143_without_a_traceback_and_leaves_nothing(root: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 143
    assert errors == ""
    assert time.monotonic() - started < 20
    assert list(root.iterdir()) == []


def test_files_take_their_names_together(tmp_path: Path) -> None:
    with AtomicFiles() as files:
        files.open(tmp_path / "a" / "one").write(b"1")
        files.open(tmp_path / "b" / "two").write(b"2")
        assert not (tmp_path / "a/one").exists()
    assert (tmp_path / "a/one").read_bytes() == b"1"
    assert (tmp_path / "b/two").read_bytes() == b"2"
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["one", "two"]


def test_an_error_leaves_no_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("old")

    def write_and_fail() -> None:
        with AtomicFiles() as files:
            files.open(tmp_path / "one").write(b"new")
            files.open(tmp_path / "two").write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert (tmp_path / "one").read_text() == "old"


def test_a_failing_rename_takes_back_the_others(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()

    def write_two() -> None:
        with AtomicFiles() as files:
            files.open(tmp_path / "one").write(b"new")
            files.open(tmp_path / "two").write(b"cannot replace a directory")

    with pytest.raises(IsADirectoryError):
        write_two()
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_text_and_json(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "x.txt", "w") as file:
        file.write("ä\n")
    assert (tmp_path / "x.txt").read_bytes() == "ä\n".encode()
    write_json(tmp_path / "x.json", {"b": 1, "a": ["ä"]})
    assert (tmp_path / "x.json").read_text() == '{\n  "a": [\n    "ä"\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "nan.json", {"a": float("nan")})
    assert not (tmp_path / "nan.json").exists()


@pytest.mark.parametrize("arguments", [["--n", "0"], ["--n", "1.5"], ["--n", "x"], ["--n"], ["--m", "3"], ["3"]])
def test_a_wrong_argument_is_a_container_error(arguments: list[str]) -> None:
    parser = ContainerParser(program="x", description="")
    parser.add_argument("--n", type=whole_number(1, 9))
    with pytest.raises(ContainerError, match=r"^x: .*(--n|--m|3)"):
        parser.parse_args(arguments)


@pytest.mark.parametrize("text", ["-0.1", "1", "nan", "x", "inf"])
def test_a_split_fraction_is_below_one(text: str) -> None:
    with pytest.raises(Exception, match="must be a number from 0"):
        fraction_below_one(text)


def test_fractions_with_their_ends() -> None:
    assert (fraction("0"), fraction("1"), fraction_below_one("0")) == (0.0, 1.0, 0.0)
