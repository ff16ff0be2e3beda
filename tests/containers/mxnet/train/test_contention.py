"""The hint that other programs keep the cores busy: once, for several threads, and only where it is so."""

from pathlib import Path

import pytest

from train.contention import Contention


def spent(tasks: Path, *, ran: int, waited: int) -> None:
    """Two threads that have together run and waited for so many nanoseconds."""
    for name in ("1", "2"):
        (tasks / name).mkdir(exist_ok=True)
        (tasks / name / "schedstat").write_text(f"{ran // 2} {waited // 2} 9\n")


def test_a_crowded_machine_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spent(tmp_path, ran=1000, waited=900)  # before the training
    contention = Contention(2, tmp_path)
    spent(tmp_path, ran=2000, waited=940)
    contention.look()
    assert capsys.readouterr().out == ""
    for waited in (1940, 2940):
        spent(tmp_path, ran=2 * waited, waited=waited)
        contention.look()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("Hint: other programs use this machine's cores, threads waited ")
    assert "OMP_NUM_THREADS=1" in lines[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_one_thread_and_a_kernel_without_statistics_are_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], threads: int
) -> None:
    contention = Contention(threads, tmp_path)
    if threads == 1:
        spent(tmp_path, ran=1000, waited=9000)
    contention.look()
    assert capsys.readouterr().out == ""


def test_this_process_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    Contention(2).look()
    assert "nan" not in capsys.readouterr().out
