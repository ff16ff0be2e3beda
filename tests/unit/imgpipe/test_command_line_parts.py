"""Parts of the command line: parameters, data folders, the embedded data set, progress and tables."""

from __future__ import annotations

import io
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from imgpipe import digits, project
from imgpipe.errors import CommandError
from imgpipe.progress import RunProgress
from imgpipe.project import check_classes, check_data_folder, check_environment, environment_settings, parse_parameters
from imgpipe.results import print_summary
from local.executor.definition import Definition, Step
from local.executor.records import Status, StepRecord

NOW = datetime(2024, 5, 1, tzinfo=timezone.utc)


def test_parameters() -> None:
    assert parse_parameters(["A=1", "B=x=y", "C="]) == {"A": "1", "B": "x=y", "C": ""}


@pytest.mark.parametrize("texts", [["A"], ["=1"], [""], ["A=1", "A=2"]])
def test_what_is_no_parameter(texts: list[str]) -> None:
    with pytest.raises(CommandError, match="--param"):
        parse_parameters(texts)


def test_only_visible_files_in_class_folders_count(tmp_path: Path) -> None:
    for name in ("cats/1.jpg", "cats/more/2.jpg", "cats/.hidden", ".git/x", "README"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    assert check_data_folder(tmp_path) == 2


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


def test_a_single_class_is_told_before_a_run(tmp_path: Path) -> None:
    one = files(tmp_path / "one", "cats/1.jpg", "cats/2.jpg", "3.jpg")
    with pytest.raises(CommandError, match=rf"^{one} needs at least 2 class folders with images, found only 'cats': "):
        check_classes(one)
    outer = files(tmp_path / "outer", "photos/cats/1.jpg", "photos/dogs/2.jpg")
    with pytest.raises(CommandError, match=r"it holds 2 folders itself, so perhaps .*outer/photos is meant$"):
        check_classes(outer)


@pytest.mark.parametrize("names", [("cats/1.jpg", "dogs/1.jpg"), ("all/1.jpg", "train.lst")])
def test_two_classes_and_lists_are_for_the_packer(tmp_path: Path, names: tuple[str, ...]) -> None:
    check_classes(files(tmp_path, *names))


@pytest.mark.parametrize("names", [[], ["1.jpg"], [".hidden/1.jpg"], ["cats/.hidden"]])
def test_a_folder_without_class_folders(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(CommandError, match=r"CLASS/IMAGE\.jpg"):
        check_data_folder(tmp_path)


def test_environments_are_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "environments").mkdir()
    (tmp_path / "environments" / "here.yaml").write_text("region: eu-west-1\nproject: mine\n")
    monkeypatch.setattr(project, "ROOT", tmp_path)
    settings = environment_settings("here")
    assert (settings.region, settings.project) == ("eu-west-1", "mine")
    with pytest.raises(CommandError, match="environment 'there' is unknown: use one of here"):
        check_environment("there")


def test_the_default_project_is_that_of_infra() -> None:
    from infra.settings import EnvironmentSettings

    assert EnvironmentSettings.model_fields["project"].default == project.DEFAULT_PROJECT


def test_the_digits_are_written_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = digits.write_digits(tmp_path / "deep" / "digits")
    assert sorted(path.name for path in directory.iterdir()) == list("0123456789")
    assert sum(1 for _ in directory.rglob("*.png")) == 1797
    assert [path.name for path in directory.parent.iterdir()] == ["digits"]
    monkeypatch.setattr(digits, "_write_pictures", None)  # a second call must not need it
    assert digits.write_digits(directory) == directory


def test_an_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(directory: Path) -> None:
        directory.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(digits, "_write_pictures", interrupted)
    with pytest.raises(KeyboardInterrupt):
        digits.write_digits(tmp_path / "digits")
    assert list(tmp_path.iterdir()) == []


def test_of_two_writers_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overtaken(directory: Path) -> None:
        directory.mkdir()
        (tmp_path / "digits" / "0").mkdir(parents=True)

    monkeypatch.setattr(digits, "_write_pictures", overtaken)
    assert digits.write_digits(tmp_path / "digits") == tmp_path / "digits"
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def step(name: str, kind: str = "Training") -> Step:
    return Step(name=name, type=kind, spec={"DisplayName": f"{name} it"}, depends_on=frozenset())


def ended(name: str, status: Status, reason: str | None = None) -> StepRecord:
    return StepRecord(
        name=name,
        display_name=f"{name} it",
        type="Training",
        status=status,
        started=NOW,
        ended=NOW + timedelta(seconds=2.5),
        failure_reason=reason,
    )


DEFINITION = Definition((), (step("Pack"), step("Train"), step("Below", "Fail")))


def follow(progress: RunProgress) -> None:
    """A run of which the second step fails, with lines from another thread."""
    progress.phase("Synthesising environment dev")
    progress.execution_started(DEFINITION, "abc", "process")
    progress.step_started(step("Pack"))
    progress.step_ended(ended("Pack", "Succeeded"))
    progress.step_started(step("Train"))
    lines = [
        "noise",
        "Epoch[0] Train-accuracy=0.5",
        "Epoch[0] Validation-accuracy=0.625",
        "Epoch[1] Train-accuracy=nan",
    ]
    thread = threading.Thread(target=lambda: [progress.step_line(step("Train"), line) for line in lines])
    thread.start()
    thread.join()
    progress.step_ended(ended("Train", "Failed", "[bold]no[/bold] GPU"))


def test_piped_progress_is_plain_lines() -> None:
    output = io.StringIO()
    progress = RunProgress(Console(file=output, width=80))
    with progress.showing():
        follow(progress)
    assert output.getvalue().splitlines() == [
        "Synthesising environment dev",
        "Execution abc (process runtime)",
        "Pack            started: Pack it",
        "Pack            succeeded after 2.5 s",
        "Train           started: Train it",
        "Train           epoch 0: train accuracy 0.500, validation accuracy 0.625",
        "Train           failed after 2.5 s",
    ]


def test_of_several_instances_the_first_is_shown_and_of_a_tuning_job_the_trials() -> None:
    output = io.StringIO()
    progress = RunProgress(Console(file=output, width=80))
    progress.execution_started(DEFINITION, "abc", "process")
    progress.step_started(step("Train"))
    for line in (
        "algo-1: Epoch[0] Validation-accuracy=0.5",
        "algo-2: Epoch[0] Validation-accuracy=0.25",
        "trial 3 of 8: epoch 4 validation accuracy 0.910, best 0.950",
    ):
        progress.step_line(step("Train"), line)
    assert output.getvalue().splitlines()[2:] == [
        "Train           epoch 0: validation accuracy 0.500",
        "Train           trial 3 of 8: epoch 4 validation accuracy 0.910, best 0.950",
    ]


def test_a_hint_stays_below_the_metrics() -> None:
    hint = "Hint: other programs use this machine's cores"
    for terminal in (False, True):
        output = io.StringIO()
        console = Console(file=output, width=120, force_terminal=terminal, color_system=None)
        progress = RunProgress(console)
        with progress.showing():
            progress.execution_started(DEFINITION, "abc", "process")
            progress.step_started(step("Train"))
            for line in ("Epoch[0] Validation-accuracy=0.5", f"algo-1: {hint}", "Epoch[1] Validation-accuracy=0.75"):
                progress.step_line(step("Train"), line)
        last = output.getvalue().split("Execution abc (process runtime)")[-1]
        assert hint in last
        assert "validation accuracy 0.750" in last


def test_a_champion_that_cannot_be_compared(tmp_path: Path) -> None:
    reason = "champion: it has other classes: only the champion has bicycle, only the data set has a"
    champion = {"version": 4, "difference": None, "worse_by": 0.0, "reason": reason}
    text = shown(summary(champion=champion, gates=[AGAINST_CHAMPION]), tmp_path)
    assert "version 4, the newest approved: not compared, it has other classes: only the champion has bicycle" in text
    assert "passed" not in text


def test_the_first_k_of_k_classes_are_no_news(tmp_path: Path) -> None:
    assert "Top k" not in shown(summary(), tmp_path)
    three = {"classes": ["a", "b", "c"], "counts": {"train": 8, "validation": 1, "test": 1}, "rejected": 2}
    assert "Top k accuracy" in shown(summary(dataset=three), tmp_path)


def test_a_comparison_that_was_made_is_a_gate(tmp_path: Path) -> None:
    champion = {"version": 4, "difference": 0.01, "worse_by": 0.002, "reason": None}
    text = shown(summary(champion=champion, gates=[AGAINST_CHAMPION]), tmp_path)
    assert "passed: worse than the champion by up to 0.0020, at most 0.02" in text


def test_on_a_terminal_a_table_is_left() -> None:
    output = io.StringIO()
    progress = RunProgress(Console(file=output, width=100, force_terminal=True, color_system=None))
    with progress.showing():
        follow(progress)
    last = output.getvalue().split("Execution abc (process runtime)")[-1]
    assert "Pack it   Succeeded      2.5" in last
    assert "Train it  Failed         2.5  [bold]no[/bold] GPU" in last
    assert "Below" not in last


AGAINST_CHAMPION = {
    "metric": "champion.worse_by",
    "value": 0.002,
    "threshold": 0.02,
    "direction": "at most",
    "passed": True,
}


def summary(**changes: Any) -> dict[str, Any]:
    return {
        "execution_id": "abc",
        "status": "Succeeded",
        "failure_reason": None,
        "dataset": {"classes": ["a", "b"], "counts": {"train": 8, "validation": 1, "test": 1}, "rejected": 2},
        "metrics": {"accuracy": 0.98765, "top_k_accuracy": 1.0, "log_loss": 0.1},
        "top_k": 2,
        "gates": [
            {"metric": "accuracy", "value": 0.98765, "threshold": 0.9, "direction": "at least", "passed": True},
            {"metric": "log_loss", "value": 0.1, "threshold": 0.05, "direction": "at most", "passed": False},
        ],
        "champion": {"version": 4, "difference": 0.01, "worse_by": 0.002, "reason": None},
        "tuning": {
            "objective": "validation:accuracy",
            "best_value": 0.95,
            "best_hyperparameters": {"learning_rate": "0.0123456789", "optimizer": "rmsprop-like"},
            "trials": 8,
        },
        "model_package": {"arn": "arn:package/1", "version": 1, "approval_status": "Approved"},
        "steps": [],
        "seconds": 12.3,
        "peak_memory_bytes": 5 * 2**20,
    } | changes


def shown(content: dict[str, Any], directory: Path) -> str:
    output = io.StringIO()
    print_summary(Console(file=output, width=20), content, directory)
    return output.getvalue()


def test_the_result_table(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("")
    text = shown(summary(), tmp_path)
    for part in (
        "2 classes; train 8, validation 1, test 1; rejected 2",
        "0.9877",
        "passed: accuracy 0.9877, at least 0.9",
        "not passed: log_loss 0.1000, at most 0.05",
        "version 4, the newest approved: the difference in accuracy is +0.0100",
        "8 trials; best validation:accuracy 0.9500: learning_rate 0.01235, optimizer rmsprop-like",
        "arn:package/1",
        "Approved",
        "12 s, peak memory 5 MiB",
        str(tmp_path / "report.html"),
    ):
        assert part in text


def test_the_result_table_of_a_run_without_results(tmp_path: Path) -> None:
    text = shown(
        summary(status="Stopped", dataset=None, metrics=None, gates=[], champion=None, tuning=None, model_package=None),
        tmp_path,
    )
    assert "Stopped" in text
    assert str(tmp_path) in text
