"""A synthesised environment, small data sets and the command line as a process, shared by the end-to-end tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from local.assembly import CloudAssembly, read_assembly
from local.emulator.account import EmulatedAccount, emulated_account
from local.synth import synthesise

# Two workers share the cores: threads of one network that wait for each other do so far longer beside other tests.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).parents[2]
REGION = "us-east-1"
# A small network on few images: seconds, and far from good.
SMALL = {
    "ImageSize": "32",
    "NumLayers": "20",
    "RecordFormat": "png",
    "Epochs": "2",
    "MiniBatchSize": "32",
    "LearningRate": "0.05",
    "AccuracyThreshold": "0.01",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker for all of these, so that the environment is synthesised once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("local"))


@pytest.fixture(scope="session")
def mxnet_python() -> Path:
    """The interpreter with MXNet's packages."""
    interpreter = Path(os.environ.get("IMGPIPE_MXNET_PYTHON") or REPOSITORY / ".venv-mxnet" / "bin" / "python")
    if not interpreter.is_file():
        pytest.skip("needs the environment with MXNet: run make setup or set IMGPIPE_MXNET_PYTHON")
    return interpreter


@pytest.fixture(scope="session")
def assembly_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cloud assembly of dev, by the project's own app.py."""
    directory = tmp_path_factory.mktemp("assembly") / "cdk.out"
    synthesise("dev", project=REPOSITORY, outdir=directory)
    return directory


@pytest.fixture(scope="session")
def assembly(assembly_directory: Path) -> CloudAssembly:
    return read_assembly(assembly_directory)


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region=REGION) as opened:
        yield opened


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, assembly_directory: Path) -> Path:
    """A project root whose app.py has synthesised dev already."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(REPOSITORY / "environments", root / "environments")
    (root / "app.py").write_text(
        f"import os, shutil\nshutil.copytree({str(assembly_directory)!r}, os.environ['CDK_OUTDIR'])\n"
    )
    return root


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 images of each of scikit-learn's ten digits."""
    from imgpipe.digits import write_digits

    everything = write_digits(tmp_path_factory.mktemp("all") / "digits")
    few = tmp_path_factory.mktemp("few") / "digits"
    for folder in sorted(everything.iterdir()):
        (few / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:30]:
            shutil.copyfile(path, few / folder.name / path.name)
    return few


@dataclass(kw_only=True)
class CommandLine:
    """`imgpipe` in a process of its own, with a project root and a home of its own."""

    root: Path
    home: Path
    mxnet: Path
    environ: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        program = (
            "import sys; from pathlib import Path; import imgpipe.project as project\n"
            f"project.ROOT = Path({str(self.root)!r}); project.HOME = Path({str(self.home)!r})\n"
            "project.INTERPRETERS = {name: Path(sys.executable) for name in ('imaging', 'serve')}\n"
            f"project.INTERPRETERS['mxnet'] = Path({str(self.mxnet)!r})\n"
            "from imgpipe.cli import main; sys.argv[0] = 'imgpipe'; main()"
        )
        return [sys.executable, "-c", program, *arguments]

    def start(self, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=REPOSITORY,
            env=self.environ,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, error = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    @property
    def runs(self) -> list[str]:
        directory = self.home / "runs"
        return sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []

    def summary(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.home / "runs" / "latest" / "summary.json").read_text())
        return content


@pytest.fixture
def imgpipe(project: Path, tmp_path: Path, mxnet_python: Path) -> CommandLine:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return CommandLine(root=project, home=tmp_path / "home", mxnet=mxnet_python, environ=environ)


Parameters = Callable[..., list[str]]


@pytest.fixture
def small() -> Parameters:
    """The --param options of a small run, with changes."""

    def options(**changes: str) -> list[str]:
        return [text for item in (SMALL | changes).items() for text in ("--param", "=".join(item))]

    return options


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def imgpipe_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process, where the emulated account is: exit code, output and errors."""
    from imgpipe import cli  # late: a fixture of this module has the package's name

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["imgpipe", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run
