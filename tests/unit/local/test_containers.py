"""Runtimes: what a container's process sees, how it is ended, and what Docker is asked to do."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from local.assembly import ImageAsset
from local.containers import docker
from local.containers.docker import DockerRuntime, build_command, docker_silence, image_reference, run_command
from local.containers.job import ContainerJob, Ended, read_message
from local.containers.process import ProcessRuntime, image_entrypoint
from local.containers.stream import run_logged
from local.errors import LocalRunError
from local.run import RunRequest, choose_runtime, run_locally

RunLogged = Callable[..., int]


@pytest.fixture
def run(tmp_path: Path) -> RunLogged:
    """run_logged of a Python program, with its log in tmp_path/log."""

    def start(program: str, *, stop: threading.Event | None = None, **more: object) -> int:
        options: dict[str, object] = {"on_line": lambda line: None, "grace_seconds": 30.0} | more
        return run_logged(
            [sys.executable, "-c", program],
            environment={"PATH": os.environ["PATH"]},
            directory=tmp_path,
            log=tmp_path / "log",
            stop=stop or threading.Event(),
            **options,  # type: ignore[arg-type]
        )

    return start


def test_output_is_logged_and_handed_on_line_by_line(run: RunLogged, tmp_path: Path) -> None:
    lines: list[str] = []
    program = (
        "import sys; print('one'); sys.stdout.flush(); print('two', file=sys.stderr); sys.stdout.buffer.write(b'\\xff')"
    )
    assert run(program, on_line=lines.append) == 0
    assert (tmp_path / "log").read_text() == "one\ntwo\n\ufffd"
    assert lines == ["one", "two", "\ufffd"]


@pytest.mark.parametrize(("program", "code"), [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)])
def test_exit_codes(run: RunLogged, program: str, code: int) -> None:
    assert run(program) == code


def test_stop_sends_sigterm(run: RunLogged) -> None:
    stop = threading.Event()
    program = (
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\nprint('up', flush=True)\n"
        "while True: signal.pause()"
    )
    assert run(program, stop=stop, on_line=lambda line: stop.set()) == 143


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace(run: RunLogged) -> None:
    stop = threading.Event()
    program = (
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))\nprint('up', flush=True)\n"
        "while True: signal.pause()"
    )
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        stop.set()

    assert run(program, stop=stop, on_line=hear, grace_seconds=0.5) == -9
    assert lines == ["up", "no"]


def test_what_a_program_leaves_behind_does_not_hold_the_step(run: RunLogged) -> None:
    lines: list[str] = []
    program = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\nprint('done')"
    )
    assert run(program, on_line=lines.append) == 0  # its child would keep the pipe open for ever
    assert lines == ["done"]


def test_an_error_of_the_listener_ends_the_program(run: RunLogged) -> None:
    def fail(line: str) -> None:
        raise ValueError(line)

    with pytest.raises(ValueError, match="up"):
        run("import signal; print('up', flush=True); signal.pause()", on_line=fail)


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (1, "no images", "AlgorithmError: no images, exit code: 1"),
        (2, "", "AlgorithmError: the container left no message, exit code: 2"),
        (-9, "", "AlgorithmError: the container was killed by SIGKILL (out of memory?), exit code: 137"),
        (-15, "late", "AlgorithmError: the container was killed by SIGTERM: late, exit code: 143"),
    ],
)
def test_reasons(code: int, message: str, reason: str) -> None:
    assert Ended(exit_code=code).reason(message) == reason


def test_a_message_becomes_one_line(tmp_path: Path) -> None:
    assert read_message(tmp_path / "none") == ""
    (tmp_path / "message").write_bytes(b" a\n\n b \xff")
    assert read_message(tmp_path / "message") == "a b \ufffd"


def image(directory: Path, entrypoint: str = 'ENTRYPOINT ["python", "-c"]') -> ImageAsset:
    (directory / "fake").mkdir(parents=True, exist_ok=True)
    (directory / "fake" / "Dockerfile").write_text(f"FROM scratch\n{entrypoint}\n")
    return ImageAsset(directory=directory, dockerfile="fake/Dockerfile", tag="abc123")


def job(tmp_path: Path, **more: object) -> ContainerJob:
    (tmp_path / "root").mkdir(exist_ok=True)
    fields: dict[str, object] = {
        "name": "pipelines-x-Step-1",
        "image": image(tmp_path / "asset"),
        "root": tmp_path / "root",
        "log": tmp_path / "step.log",
    } | more
    return ContainerJob(**fields)  # type: ignore[arg-type]


def collect(runtime: ProcessRuntime | DockerRuntime, work: ContainerJob) -> tuple[int, list[str]]:
    lines: list[str] = []
    return runtime.run(work, on_line=lines.append, stop=threading.Event()).exit_code, lines


def test_the_process_sees_its_own_environment_and_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTPS_PROXY", "PYTHONSTARTUP"):
        monkeypatch.setenv(name, "secret")
    chosen = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "7"}
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    work = job(
        tmp_path,
        arguments=[
            "import json, os, sys; print(json.dumps(dict(os.environ))); print(os.getcwd()); print(sys.argv)",
            "x",
        ],
        environment={"LISTING_HASH": "ff"},
    )
    code, lines = collect(ProcessRuntime(interpreters={"fake": Path(sys.executable)}), work)
    assert code == 0
    seen = json.loads(lines[0])
    assert "secret" not in seen.values()
    assert {name: seen.get(name) for name in chosen} == chosen
    assert seen["ML_ROOT"] == str(work.root)
    assert seen["PYTHONPATH"] == str(work.image.directory)
    assert seen["LISTING_HASH"] == "ff"
    assert lines[1:] == [str(work.root), "['-c', 'x']"]


def test_an_entrypoint_of_the_job_replaces_that_of_the_image(tmp_path: Path) -> None:
    work = job(tmp_path, entrypoint=["python", "-c", "print('own')"])
    assert collect(ProcessRuntime(interpreters={"fake": Path(sys.executable)}), work) == (0, ["own"])


@pytest.mark.parametrize("interpreters", [{}, {"fake": Path("/nonexistent/python")}])
def test_a_missing_python_environment_is_named(tmp_path: Path, interpreters: dict[str, Path]) -> None:
    with pytest.raises(LocalRunError, match=r"image fake has no Python environment .*: run `make setup`"):
        collect(ProcessRuntime(interpreters=interpreters), job(tmp_path))


def test_an_image_needs_an_entrypoint(tmp_path: Path) -> None:
    assert image_entrypoint(tmp_path / image(tmp_path).dockerfile) == ["python", "-c"]
    with pytest.raises(LocalRunError, match="has no ENTRYPOINT"):
        image_entrypoint(tmp_path / image(tmp_path, "CMD true").dockerfile)


def test_docker_commands(tmp_path: Path) -> None:
    work = job(
        tmp_path,
        entrypoint=["python", "-m", "preprocess"],
        arguments=["--seed", "0"],
        environment={"B": "2", "A": "1 x"},
    )
    assert build_command(work.image) == [
        "docker",
        "build",
        "--platform=linux/amd64",
        "--file=fake/Dockerfile",
        "--tag=imgpipe-fake:abc123",
        ".",
    ]
    assert run_command(work) == [
        "docker",
        "run",
        "--rm",
        "--init",
        "--name=pipelines-x-Step-1",
        "--network=none",
        "--platform=linux/amd64",
        f"--user={os.getuid()}:{os.getgid()}",
        f"--volume={tmp_path / 'root'}:/opt/ml",
        "--env=ML_ROOT=/opt/ml",
        "--env=HOME=/tmp",
        "--env=A=1 x",
        "--env=B=2",
        "--entrypoint=python",
        "imgpipe-fake:abc123",
        "-m",
        "preprocess",
        "--seed",
        "0",
    ]


def test_docker_uses_the_images_entrypoint_unless_the_job_has_one(tmp_path: Path) -> None:
    work = job(tmp_path, arguments=["train"])
    assert run_command(work)[-2:] == [image_reference(work.image), "train"]
    assert not any("--entrypoint" in part for part in run_command(work))


FAKE_DOCKER = """#!/bin/sh
echo "$@" >> {calls}
echo "$1 says hello"
case "$1" in version) exit {version};; build) exit {build};; run) exit {run};; esac
"""


@pytest.fixture
def fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A `docker` on PATH that records its calls and answers as asked; returns the record."""

    def install(*, version: int = 0, build: int = 0, run: int = 0) -> Path:
        calls, program = tmp_path / "calls", tmp_path / "bin" / "docker"
        program.parent.mkdir(exist_ok=True)
        program.write_text(FAKE_DOCKER.format(calls=calls, version=version, build=build, run=run))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        return calls

    return install


def test_docker_builds_an_image_once_and_runs_each_job(tmp_path: Path, fake_docker: Callable[..., Path]) -> None:
    calls = fake_docker()
    runtime = DockerRuntime(build_log=tmp_path / "build.log")
    work = job(tmp_path)
    assert [collect(runtime, work), collect(runtime, work)] == [
        (0, ["build says hello", "run says hello"]),
        (0, ["run says hello"]),
    ]
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["build", "run", "run"]
    assert (tmp_path / "build.log").read_text() == "build says hello\n"
    assert work.log.read_text() == "run says hello\n" * 2


def test_a_failing_build_names_its_log(tmp_path: Path, fake_docker: Callable[..., Path]) -> None:
    calls = fake_docker(build=1)
    with pytest.raises(LocalRunError, match=r"docker could not build image fake: see .*build\.log"):
        collect(DockerRuntime(build_log=tmp_path / "build.log"), job(tmp_path))
    assert "run" not in [line.split()[0] for line in calls.read_text().splitlines()]


@pytest.mark.parametrize(("status", "code"), [(3, 3), (137, -9), (139, -11), (0, 0)])
def test_dockers_exit_status(tmp_path: Path, fake_docker: Callable[..., Path], status: int, code: int) -> None:
    fake_docker(run=status)
    assert collect(DockerRuntime(build_log=tmp_path / "build.log"), job(tmp_path))[0] == code


@pytest.mark.parametrize("status", [125, 126, 127])
def test_a_container_that_docker_cannot_start(tmp_path: Path, fake_docker: Callable[..., Path], status: int) -> None:
    fake_docker(run=status)
    with pytest.raises(LocalRunError, match="docker could not start the container of image fake"):
        collect(DockerRuntime(build_log=tmp_path / "build.log"), job(tmp_path))


def test_a_stopped_docker_container_is_removed_by_name(tmp_path: Path, fake_docker: Callable[..., Path]) -> None:
    calls = fake_docker()
    stop = threading.Event()
    DockerRuntime(build_log=tmp_path / "b").run(job(tmp_path), on_line=lambda line: stop.set(), stop=stop)
    assert calls.read_text().splitlines()[-1] == "rm --force pipelines-x-Step-1"


def request(tmp_path: Path, runtime: str) -> RunRequest:
    return RunRequest(
        environment="dev",
        data=tmp_path,
        project=tmp_path,
        home=tmp_path,
        interpreters={"fake": Path(sys.executable)},
        runtime=runtime,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("asked", "answers", "chosen"),
    [("auto", 0, "docker"), ("auto", 1, "process"), ("docker", 0, "docker"), ("process", 0, "process")],
)
def test_auto_takes_docker_only_where_it_answers(
    tmp_path: Path, fake_docker: Callable[..., Path], asked: str, answers: int, chosen: str
) -> None:
    fake_docker(version=answers)
    assert choose_runtime(request(tmp_path, asked))(tmp_path / "logs").name == chosen


def test_docker_that_is_asked_for_and_does_not_answer_is_told_before_anything_is_done(
    tmp_path: Path, fake_docker: Callable[..., Path]
) -> None:
    fake_docker()
    program = tmp_path / "bin" / "docker"
    why = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    program.write_text(f"#!/bin/sh\necho 'Client: Docker Engine'\necho '{why}' >&2\nexit 1\n")
    with pytest.raises(LocalRunError) as error:
        run_locally(request(tmp_path, "docker"), observer=None)  # type: ignore[arg-type]
    assert str(error.value) == f"Docker does not answer ({why}): start it, or use --runtime process"
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
    program.write_text("#!/bin/sh\nexit 3\n")
    assert docker_silence() == "docker version ended with 3"


def test_no_docker_at_all_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert docker_silence() == "there is no command docker"


def test_an_engine_that_hangs_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_docker: Callable[..., Path]
) -> None:
    fake_docker()
    (tmp_path / "bin" / "docker").write_text(f"#!{sys.executable}\nimport signal; signal.pause()\n")
    monkeypatch.setattr(docker, "_ANSWER_SECONDS", 0.2)
    assert docker_silence() == "no answer within 0.2 s"


def test_a_missing_environment_is_told_before_anything_is_done(tmp_path: Path) -> None:
    asked = request(tmp_path, "process")
    missing = RunRequest(**(vars(asked) | {"interpreters": {"mxnet": tmp_path / "none"}}))
    with pytest.raises(LocalRunError, match=r"image mxnet has no Python environment .*make setup"):
        choose_runtime(missing)


def test_docker_builds_the_stage_that_an_asset_names() -> None:
    image = ImageAsset(directory=Path("x"), dockerfile="mxnet/Dockerfile", tag="abc", target="gpu")
    assert "--target=gpu" in build_command(image)
    assert not [part for part in build_command(replace(image, target=None)) if part.startswith("--target")]
