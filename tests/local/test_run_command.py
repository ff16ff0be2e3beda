"""`imgpipe run`, end to end: its result, and one clear line for everything that goes wrong."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from end_to_end import REPOSITORY, CommandLine, Parameters

FIELDS = [
    "execution_id",
    "pipeline",
    "environment",
    "status",
    "failure_reason",
    "dataset",
    "metrics",
    "top_k",
    "gates",
    "champion",
    "tuning",
    "model_package",
    "transform",
    "steps",
    "experiment",
    "seconds",
    "peak_memory_bytes",
]


def one_line(result: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The error's line, after checking that it is the only one."""
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.mark.slow
def test_a_folder_becomes_a_registered_model(imgpipe: CommandLine, digits: Path, small: Parameters) -> None:
    imgpipe.root = REPOSITORY  # the one run that synthesises by itself
    result = imgpipe("run", "--data", str(digits), "--runtime", "process", *small())
    assert (result.returncode, result.stderr) == (0, "")

    summary = imgpipe.summary()
    assert list(summary) == FIELDS
    assert (summary["status"], summary["failure_reason"]) == ("Succeeded", None)
    assert imgpipe.runs == sorted([summary["execution_id"], "latest"])
    dataset = summary["dataset"]
    assert sorted(dataset) == ["classes", "content_hash", "counts", "rejected"]
    assert dataset["classes"] == list("0123456789")
    assert sum(dataset["counts"].values()) == 300
    assert summary["gates"][0] == {
        "metric": "accuracy",
        "value": summary["metrics"]["accuracy"],
        "threshold": 0.01,
        "direction": "at least",
        "passed": True,
    }
    assert summary["model_package"] == {
        "arn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/imgpipe-dev/1",
        "version": 1,
        "approval_status": "PendingManualApproval",
    }
    names = ["Resolve", "Preprocess", "Train", "Evaluate", "Gate", "Package", "SmokeTest", "Register"]
    assert [step["name"] for step in summary["steps"]] == names
    assert {step["status"] for step in summary["steps"]} == {"Succeeded"}
    assert 0 < summary["peak_memory_bytes"] < 2 * 2**30
    directory = imgpipe.home / "runs" / "latest"
    assert {path.stem for path in (directory / "logs").iterdir()} >= {"Resolve", "Preprocess", "Train", "Evaluate"}
    assert (directory / "report.html").read_text().lstrip().lower().startswith("<!doctype html")
    assert not list(directory.glob("steps/*/processing/input/*"))
    # Piped, it prints plain lines: phases, steps, an epoch's metrics, the result.
    assert "\x1b" not in result.stdout
    for part in ("Synthesising environment dev", "Train", "epoch 1: ", summary["model_package"]["arn"], "report.html"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere does not exist: give a folder that holds one folder of images for each class"),
        (["--data", "README.md"], "README.md is not a folder"),
        (["--data", "environments"], "environments holds no class folders with images"),
        (["--env", "live"], "environment 'live' is unknown: use one of dev, prod, staging"),
        (["--env", "../environments/dev"], "is unknown: use one of dev"),
        (["--param", "Epochs"], "--param 'Epochs': write it as Name=value"),
        (["--param", "Epochs=1", "--param", "Epochs=2"], "--param Epochs is given twice"),
    ],
)
def test_wrong_arguments(imgpipe: CommandLine, tmp_path: Path, arguments: list[str], message: str) -> None:
    line = one_line(imgpipe("run", *arguments))
    assert message in line
    assert imgpipe.runs == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--dta", "x"], "No such option: --dta"),
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run", "--runtime", "podman"], "'--runtime': 'podman' is not one of 'auto', 'process', 'docker'"),
        (["run", "--pipeline", "tuning"], "'--pipeline': 'tuning' is not one of 'train', 'tune', 'retrain'"),
        (["upload"], "Missing argument 'folder'"),
    ],
)
def test_usage_errors(imgpipe: CommandLine, arguments: list[str], message: str) -> None:
    line = one_line(imgpipe(*arguments), code=2)
    assert message in line
    assert "--help`" in line


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("Epoch=3", "error: parameter Epoch is unknown: did you mean Epochs?"),
        ("Epochs=2.5", "error: parameter Epochs: '2.5' is not a whole number"),
        ("Epochs=0", "error: parameter Epochs: 0 is out of range, it must be at least 1"),
        (
            "AccuracyThreshold=7",
            "error: parameter AccuracyThreshold: 7 is out of range, it must be at least 0 and at most 1",
        ),
        ("RecordFormat=gif", "error: parameter RecordFormat: 'gif' is not allowed, it takes one of jpg, png"),
        ("InputDataUri=s3://elsewhere/x", "error: bucket elsewhere does not exist in the deployed environment"),
    ],
)
def test_wrong_parameters_leave_nothing(imgpipe: CommandLine, digits: Path, parameter: str, message: str) -> None:
    assert message in one_line(imgpipe("run", "--data", str(digits), "--param", parameter, "--runtime", "process"))
    assert imgpipe.runs == []


def test_a_settings_typo(imgpipe: CommandLine, digits: Path, tmp_path: Path) -> None:
    root = tmp_path / "typo"
    shutil.copytree(REPOSITORY / "infra", root / "infra")
    shutil.copytree(REPOSITORY / "environments", root / "environments")
    shutil.copyfile(REPOSITORY / "app.py", root / "app.py")
    for name in ("pipeline_def", "processing", "functions", "cdk.json"):
        (root / name).symlink_to(REPOSITORY / name)
    path = root / "environments" / "dev.yaml"
    path.write_text(path.read_text().replace("region:", "reigon:"))
    imgpipe.root = root
    line = one_line(imgpipe("run", "--data", str(digits), "--runtime", "process"))
    assert "environments/dev.yaml: unknown key reigon; did you mean region?" in line
    assert imgpipe.runs == []


def test_a_missing_python_environment(imgpipe: CommandLine, digits: Path, tmp_path: Path) -> None:
    imgpipe.mxnet = tmp_path / "none" / "python"
    line = one_line(imgpipe("run", "--data", str(digits), "--runtime", "process"))
    assert "image mxnet has no Python environment" in line
    assert "make setup" in line
    assert imgpipe.runs == []


def test_a_home_that_cannot_be_written(imgpipe: CommandLine, digits: Path) -> None:
    imgpipe.home.write_text("a file")
    assert str(imgpipe.home) in one_line(imgpipe("run", "--data", str(digits), "--runtime", "process"))


def test_debug_shows_the_traceback(imgpipe: CommandLine, digits: Path) -> None:
    result = imgpipe("--debug", "run", "--data", str(digits), "--param", "Epoch=3", "--runtime", "process")
    assert result.returncode == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "LocalRunError: parameter Epoch is unknown" in result.stderr


def copies(digits: Path, data: Path, images: dict[str, int]) -> Path:
    """Class folders with so many images each."""
    for name, count in images.items():
        (data / name).mkdir(parents=True)
        for path in sorted((digits / "0").iterdir())[:count]:
            shutil.copyfile(path, data / name / path.name)
    return data


def test_a_single_class_is_told_before_anything_is_done(imgpipe: CommandLine, digits: Path, tmp_path: Path) -> None:
    data = copies(digits, tmp_path / "data", {"only": 9})
    line = one_line(imgpipe("run", "--data", str(data), "--runtime", "process"))
    assert f"error: {data} needs at least 2 class folders with images, found only 'only'" in line
    assert imgpipe.runs == []


def test_data_that_cannot_be_split_is_a_failed_run(imgpipe: CommandLine, digits: Path, tmp_path: Path) -> None:
    data = copies(digits, tmp_path / "data", {"a": 9, "b": 2})
    line = one_line(imgpipe("run", "--data", str(data), "--runtime", "process"))
    assert "error: Step Preprocess failed: AlgorithmError: " in line
    assert "b" in line.partition("AlgorithmError: ")[2]
    assert str(imgpipe.home / "runs") in line
    summary = imgpipe.summary()
    assert (summary["status"], summary["dataset"], summary["model_package"]) == ("Failed", None, None)
    assert [step["status"] for step in summary["steps"]] == ["Succeeded", "Failed"]
    assert summary["failure_reason"] in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_before_the_execution_leaves_nothing(
    imgpipe: CommandLine, digits: Path, tmp_path: Path, number: signal.Signals
) -> None:
    root = tmp_path / "slow"
    shutil.copytree(imgpipe.root / "environments", root / "environments")
    os.mkfifo(root / "fifo")
    (root / "app.py").write_text("open('fifo', 'w').close(); import signal; signal.pause()\n")
    imgpipe.root = root
    process = imgpipe.start("run", "--data", str(digits), "--runtime", "process", stdout=subprocess.DEVNULL)
    (root / "fifo").read_text()  # now it is synthesising
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (130, "stopped\n")
    assert imgpipe.runs == []
    assert psutil.wait_procs(children, timeout=10)[1] == []


@pytest.mark.slow
def test_a_stopped_run_records_its_state(imgpipe: CommandLine, digits: Path, small: Parameters) -> None:
    process = imgpipe.start("run", "--data", str(digits), "--runtime", "process", *small(Epochs="500"))
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Train") and "epoch 0" in line:
            break
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.startswith("stopped, what had been done is in ")
    assert error.count("\n") == 1
    assert "Stopped" in out
    summary = imgpipe.summary()
    assert (summary["status"], summary["failure_reason"]) == ("Stopped", "stopped by the user")
    assert summary["steps"][-1]["name"] == "Train"
    assert summary["steps"][-1]["status"] == "Stopped"
    assert summary["metrics"] is None
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_help_and_version_are_quick_and_clean(imgpipe: CommandLine) -> None:
    version = imgpipe("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert version.stdout.strip()
    for arguments in (["--help"], ["run", "--help"], ["models", "--help"]):
        shown = imgpipe(*arguments)
        assert (shown.returncode, shown.stderr) == (0, "")
        assert "Usage" in shown.stdout


def test_the_command_line_imports_nothing_heavy_for_its_help() -> None:
    program = (
        "import sys, imgpipe.cli; print([name for name in ('moto', 'boto3', 'cv2', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
