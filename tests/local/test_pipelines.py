"""The pipelines tune and retrain, end to end: one builds on what the other registered."""

from __future__ import annotations

from pathlib import Path

import pytest
from end_to_end import CommandLine, Parameters


@pytest.mark.slow
def test_what_tuning_finds_is_approved_and_trained_on(imgpipe: CommandLine, digits: Path, small: Parameters) -> None:
    common = ("--data", str(digits), "--runtime", "process")
    options = small(Epochs="1", TuningMaxJobs="2")
    del options[options.index("LearningRate=0.05") - 1 : options.index("LearningRate=0.05") + 1]  # it is searched for
    tuned = imgpipe("run", "--pipeline", "tune", *common, *options)
    assert (tuned.returncode, tuned.stderr) == (0, "")
    summary = imgpipe.summary()
    assert (summary["pipeline"], summary["status"]) == ("tune", "Succeeded")
    tuning = summary["tuning"]
    assert (tuning["trials"], tuning["objective"]) == (2, "validation:accuracy")
    assert set(tuning["best_hyperparameters"]) == {"learning_rate", "weight_decay", "optimizer"}
    directory = imgpipe.home / "runs" / "latest"
    assert len(list((directory / "logs" / "Tune").glob("*-00[12]-*.log"))) == 2
    assert "trial 2 of 2: epoch 0 validation accuracy" in tuned.stdout

    approved = imgpipe("approve", "1", "--local", "--no-deploy")
    said = f"{summary['model_package']['arn']}: Approved; nothing is deployed\n"
    assert (approved.returncode, approved.stdout) == (0, said)

    retrained = imgpipe("run", "--pipeline", "retrain", "--mlflow", *common, *small(Epochs="1", ChampionMargin="1"))
    assert (retrained.returncode, retrained.stderr) == (0, "")
    summary = imgpipe.summary()
    assert summary["champion"]["version"] == 1
    assert summary["model_package"]["version"] == 2
    assert [gate["metric"] for gate in summary["gates"]] == ["accuracy", "champion.worse_by"]
    assert "ui --backend-store-uri sqlite:///" in retrained.stdout

    compared = imgpipe("models", "--local", "--compare", "1", "2").stdout
    assert ["base_version", "-", "1"] in [line.split()[-3:] for line in compared.splitlines()]


def test_retraining_needs_a_base(imgpipe: CommandLine, digits: Path) -> None:
    result = imgpipe("run", "--pipeline", "retrain", "--data", str(digits), "--runtime", "process")
    assert result.returncode == 1
    assert "Step Resolve failed: base model latest-approved: no version of imgpipe-dev is approved" in result.stderr


def test_a_base_model_that_is_no_file(imgpipe: CommandLine, digits: Path) -> None:
    command = ("run", "--pipeline", "retrain", "--data", str(digits), "--runtime", "process")
    result = imgpipe(*command, "--param", "BaseModelUri=latest-aproved")
    assert result.stderr == (
        "error: parameter BaseModelUri: latest-aproved does not exist: give an s3:// URI or a file that ends in "
        ".tar.gz, or latest-approved\n"
    )
    assert imgpipe.runs == []
