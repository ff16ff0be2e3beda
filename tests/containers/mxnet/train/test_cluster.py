"""Hosts of one job as processes of this machine: they add up together and end together."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from common.contract import ContainerError
from train import cluster

HOST = Path(__file__).with_name("cluster_host.py")
PROGRAM = Path(cluster.__file__).parents[1]
NAMES = ["127.0.0.1", "127.0.0.2"]
SERVER = "the server process of host 127.0.0.2"


def run_hosts(tmp_path: Path, fate: str) -> list[tuple[int, str, str]]:
    """Exit code, stdout and output/failure of each host."""
    processes = []
    for name in NAMES:
        config = tmp_path / name / "input" / "config"
        config.mkdir(parents=True)
        (config / "resourceconfig.json").write_text(json.dumps({"current_host": name, "hosts": NAMES}))
        environment = {
            "ML_ROOT": str(tmp_path / name),
            "PYTHONPATH": str(PROGRAM),
            "TRAINING_JOB_NAME": str(tmp_path),
            "OMP_NUM_THREADS": "1",
        }
        processes.append(
            subprocess.Popen(
                [sys.executable, HOST, fate],
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
    ended = []
    try:
        for name, process in zip(NAMES, processes, strict=True):
            out, _ = process.communicate(timeout=100)
            failure = tmp_path / name / "output" / "failure"
            ended.append((process.returncode, out, failure.read_text() if failure.exists() else ""))
    finally:
        for process in processes:
            process.kill()
    return ended


def left_behind(tmp_path: Path) -> list[str]:
    """Processes of the job that are still there."""
    marker = f"TRAINING_JOB_NAME={tmp_path}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if marker in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


def test_hosts_add_up_and_agree(tmp_path: Path) -> None:
    for code, out, failure in run_hosts(tmp_path, "ok"):
        assert (code, failure) == (0, "")
        assert out.splitlines() == ["ranks [0, 1] first of 0", *["sum [3.0, 3.0, 3.0]"] * 4]
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("fate", "codes", "failures"),
    [
        ("fail", (1, 1), ("host 127.0.0.2 has ended: no more images", "no more images")),
        ("kill", (1, -9), ("host 127.0.0.2 is gone; its log may say why", "")),
        ("stop", (143, 1), ("", "host 127.0.0.1 has ended: it was stopped")),
        ("server", (1, 1), (f"{SERVER} has ended by SIGKILL; its log may say why",) * 2),
    ],
)
def test_the_end_of_one_is_the_end_of_all(
    tmp_path: Path, fate: str, codes: tuple[int, int], failures: tuple[str, str]
) -> None:
    ended = run_hosts(tmp_path, fate)
    assert tuple(code for code, _, _ in ended) == codes
    assert tuple(failure for _, _, failure in ended) == failures
    assert left_behind(tmp_path) == []


def test_a_port_that_the_scheduler_cannot_have_ends_all(tmp_path: Path) -> None:
    port = cluster.ports(str(tmp_path))
    with socket.create_server((NAMES[0], port)):
        ended = run_hosts(tmp_path, "ok")
    for code, _, failure in ended:
        assert code == 1
        assert failure.startswith("the scheduler process of host 127.0.0.1 has ended with exit code 1; its log may")
        assert failure.endswith(f"it needs port {port}")
    assert left_behind(tmp_path) == []


def test_a_host_that_cannot_write_why_ends_all_the_same(tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).mkdir()
    (tmp_path / NAMES[0] / "output").write_text("a file, where a folder should be")
    assert [code for code, _, _ in run_hosts(tmp_path, "kill")] == [1, -9]
    assert left_behind(tmp_path) == []


def test_one_host_is_a_group_of_its_own(tmp_path: Path) -> None:
    with cluster.joined(cluster.read(tmp_path / "none.json")) as group:
        assert (group.rank, group.size, group.gather("a"), group.from_first("b")) == (0, 1, ["a"], "b")


@pytest.mark.parametrize("content", ["{}", "[]", "no JSON", '{"current_host": "c", "hosts": ["a", "b"]}'])
def test_a_file_without_this_host_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "resourceconfig.json"
    path.write_text(content)
    with pytest.raises(ContainerError, match=r"resourceconfig\.json does not name current_host among hosts"):
        cluster.read(path)


def test_jobs_have_ports_of_their_own() -> None:
    ports = {cluster.ports(f"job-{number}") for number in range(20)}
    assert len(ports) > 15
    assert all(port % 2 == 0 and 20_000 <= port < 32_000 for port in ports)
    assert cluster.ports("job-1") == cluster.ports("job-1")
