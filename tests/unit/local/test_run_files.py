"""What a run leaves: its directory, summary.json, peak memory; and reading a cloud assembly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_pipeline import Laboratory, condition, fail, get, json_get, writing

from local.assembly import read_assembly
from local.directory import RunDirectory, new_directory
from local.errors import LocalRunError, explain_os_error
from local.run import RunRequest, run_locally
from local.summary import summarise
from local.synth import synthesise

DATASET = {"content_hash": "sha256:aa", "classes": ["a", "b"], "counts": {"train": 8}, "rejected": 0, "seed": 0}
EVALUATION = {
    "metrics": {"accuracy": {"value": 0.5}, "macro_f1": {"value": 0.4}},
    "classes": ["a", "b"],
    "champion": {"version": 3, "difference": -0.1, "worse_by": 0.25, "comparable": True},
}


def test_a_directory_gets_its_name_and_latest_points_at_the_newest(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with new_directory(tmp_path / "runs") as directory:
            (directory.logs / "a.log").write_text(name)
            directory.settle(name)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["latest", "one", "two"]
    assert (tmp_path / "runs" / "latest" / "logs" / "a.log").read_text() == "two"


@pytest.mark.parametrize("error", [LocalRunError("no"), KeyboardInterrupt()])
def test_a_run_that_never_began_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def begin() -> None:
        with new_directory(tmp_path / "runs") as directory:
            directory.assembly.mkdir()
            raise error

    with pytest.raises(type(error)):
        begin()
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_summary_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.write_summary({"status": "Succeeded"})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"status": "Succeeded"}
    (tmp_path / ".summary.json.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        directory.write_summary({"status": "Failed"})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"status": "Succeeded"}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_the_report_lies_beside_the_summary(tmp_path: Path) -> None:
    report = tmp_path / "steps" / "Evaluate" / "processing" / "output" / "evaluation" / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<html>")
    RunDirectory(tmp_path).write_summary({})
    assert (tmp_path / "report.html").read_text() == "<html>"


def test_os_errors_are_one_line_with_the_way_out() -> None:
    assert explain_os_error(OSError(28, "No space left on device", "/a/b")) == (
        "disk full while writing /a/b: free some space and run again"
    )
    assert explain_os_error(PermissionError(13, "Permission denied", "/a")) == "/a: Permission denied"


def test_a_home_that_cannot_be_written_is_an_os_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    request = RunRequest(
        environment="dev", data=tmp_path, project=tmp_path, home=tmp_path / "home", interpreters={}, runtime="process"
    )
    with pytest.raises(OSError, match="home") as raised:
        run_locally(request, observer=None)  # type: ignore[arg-type]
    assert str(tmp_path / "home") in explain_os_error(raised.value)


ROOT = Path(__file__).parents[3]
# In a process of its own: what other tests left in this one, and what it shares with other workers, comes and goes.
MEASURE = """
import subprocess, sys
import psutil
from local.memory import PeakMemory

ballast = b"x" * (500 * 2**20)
program = "data = b'x' * (200 * 2**20); print('up', flush=True); input()"
with PeakMemory() as memory:
    child = subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1)
    child.stdout.readline()
    memory.sample()
    own = psutil.Process().memory_full_info().pss
    child.communicate(b"x")
print(memory.peak_bytes - own)
"""


def test_peak_memory_counts_children_and_no_page_twice() -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 150 * 2**20 < int(done.stdout) < 350 * 2**20  # the kernel's counters are not exact


def summary_of(laboratory: Laboratory, threshold: float) -> dict[str, object]:
    gate = {
        "Type": "GreaterThanOrEqualTo",
        "LeftValue": json_get("Evaluate", "Evaluation", "metrics.accuracy.value"),
        "RightValue": get("Parameters.Threshold"),
    }
    others = {
        "Type": "And",
        "Conditions": [
            {
                "Type": "LessThanOrEqualTo",
                "LeftValue": json_get("Evaluate", "Evaluation", "champion.worse_by"),
                "RightValue": 0.5,
            },
            {
                "Type": "Not",
                "Expression": {
                    "Type": "GreaterThanOrEqualTo",
                    "LeftValue": json_get("Evaluate", "Evaluation", "metrics.macro_f1.value"),
                    "RightValue": 0.9,
                },
            },
            # No gate, for it compares something else.
            {"Type": "Equals", "LeftValue": get("Parameters.Threshold"), "RightValue": get("Parameters.Threshold")},
        ],
    }
    result = laboratory.run(
        [
            writing("Preprocess", "d/dataset.json", json.dumps(DATASET), files={"Dataset": "d/dataset.json"}),
            writing("Evaluate", "e/evaluation.json", json.dumps(EVALUATION), files={"Evaluation": "e/evaluation.json"}),
            condition("Gate", [gate, others], then=[], otherwise=[fail("Below", "too low")]),
        ],
        parameters=[{"Name": "Threshold", "Type": "Float", "DefaultValue": threshold}],
        experiment={
            "ExperimentName": get("Execution.PipelineName"),
            "TrialName": get("Execution.PipelineExecutionId"),
        },
    )
    return summarise(
        result.record,
        pipeline="train",
        environment="dev",
        definition=result.definition,
        scope=result.scope,
        s3=laboratory.account.client("s3"),
        seconds=1.23456,
        peak_memory_bytes=7,
    )


def test_a_summary(laboratory: Laboratory) -> None:
    summary = summary_of(laboratory, 0.4)
    assert list(summary) == [
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
    assert (summary["status"], summary["failure_reason"], summary["model_package"]) == ("Succeeded", None, None)
    assert summary["dataset"] == {key: DATASET[key] for key in ("content_hash", "classes", "counts", "rejected")}
    assert summary["metrics"] == {"accuracy": 0.5, "macro_f1": 0.4}
    assert summary["gates"] == [
        {"metric": "accuracy", "value": 0.5, "threshold": 0.4, "direction": "at least", "passed": True},
        {"metric": "champion.worse_by", "value": 0.25, "threshold": 0.5, "direction": "at most", "passed": True},
        {"metric": "macro_f1", "value": 0.4, "threshold": 0.9, "direction": "below", "passed": True},
    ]
    assert summary["champion"] == {"version": 3, "difference": -0.1, "worse_by": 0.25, "reason": None}
    assert summary["experiment"] == {"name": "pipe", "trial": summary["execution_id"]}
    assert (summary["pipeline"], summary["tuning"]) == ("train", None)
    assert (summary["seconds"], summary["peak_memory_bytes"]) == (1.235, 7)
    steps = summary["steps"]
    assert isinstance(steps, list)
    assert [step["name"] for step in steps] == ["Preprocess", "Evaluate", "Gate"]
    assert all(list(step) == ["name", "type", "status", "seconds", "failure_reason"] for step in steps)


def test_a_summary_of_a_run_below_the_threshold(laboratory: Laboratory) -> None:
    summary = summary_of(laboratory, 0.6)
    assert (summary["status"], summary["failure_reason"]) == ("Failed", "Step Below failed: too low")
    gates = summary["gates"]
    assert isinstance(gates, list)
    assert [gate["passed"] for gate in gates] == [False, True, True]


def test_a_summary_without_any_result(laboratory: Laboratory) -> None:
    result = laboratory.run([fail("Down", "at once")])
    summary = summarise(
        result.record,
        pipeline="train",
        environment="dev",
        definition=result.definition,
        scope=result.scope,
        s3=None,
        seconds=0,
        peak_memory_bytes=0,
    )
    assert summary["gates"] == []
    for name in ("dataset", "metrics", "champion", "tuning", "model_package", "experiment"):
        assert summary[name] is None


def test_a_folder_without_assembly_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalRunError, match=r"manifest\.json.*make synth"):
        read_assembly(tmp_path)


def test_stacks_come_after_those_they_depend_on(tmp_path: Path) -> None:
    def stack(name: str, *dependencies: str) -> dict[str, object]:
        (tmp_path / f"{name}.json").write_text("{}")
        return {
            "type": "aws:cloudformation:stack",
            "environment": "aws://unknown-account/us-east-1",
            "properties": {"templateFile": f"{name}.json"},
            "dependencies": list(dependencies),
        }

    artifacts = {"a": stack("a", "b", "c"), "b": stack("b", "c"), "c": stack("c")}
    (tmp_path / "manifest.json").write_text(json.dumps({"artifacts": artifacts}))
    assembly = read_assembly(tmp_path)
    assert [item.name for item in assembly.stacks] == ["c", "b", "a"]
    assert {item.account for item in assembly.stacks} == {None}


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; print('noise', file=sys.stderr); sys.exit('error: unknown key reginn')", "unknown key reginn"),
        ("raise SystemExit(3)", "app.py ended with 3"),
    ],
)
def test_a_failing_synth_is_one_line(tmp_path: Path, program: str, message: str) -> None:
    (tmp_path / "app.py").write_text(program)
    with pytest.raises(LocalRunError) as raised:
        synthesise("dev", project=tmp_path, outdir=tmp_path / "out")
    assert str(raised.value) == message
