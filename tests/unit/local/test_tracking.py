"""MLflow tracking: what a finished run leaves in the store."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from local.executor.metrics import MetricReader
from local.tracking import Store, track

SUMMARY: dict[str, Any] = {
    "execution_id": "abc",
    "pipeline": "train",
    "status": "Succeeded",
    "metrics": {"accuracy": 0.75, "roc_auc": None},
}


def finished(directory: Path) -> None:
    """The files of a run with a training job and a trial."""
    for path, job in (("Train.metrics.json", "train-job"), ("Tune/trial.metrics.json", "trial-job")):
        reader = MetricReader([{"Name": "validation:accuracy", "Regex": "accuracy=([0-9.]+)"}])
        for epoch, value in enumerate((0.5, 0.7)):
            reader.hear(f"Epoch[{epoch}] accuracy={value}")
        (directory / "logs" / path).parent.mkdir(parents=True, exist_ok=True)
        reader.write(directory / "logs" / path, training_job=job, hyperparameters={"epochs": "2"})
    (directory / "report.html").write_text("<html>")


def test_a_run_is_tracked_with_its_training_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: Any) -> None:
        raise AssertionError(f"connection to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    finished(tmp_path / "run")
    store = Store(directory=tmp_path / "mlruns")
    track(store, directory=tmp_path / "run", summary=SUMMARY, parameters={"Epochs": 2})
    failed = SUMMARY | {"execution_id": "def", "status": "Failed", "metrics": None}
    track(store, directory=tmp_path / "run", summary=failed, parameters={"Epochs": 3})

    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store.uri)
    experiment = client.get_experiment_by_name("imgpipe-train")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id], order_by=["start_time"])}
    assert set(runs) == {"abc", "def", "train-job", "trial-job"}
    run = runs["abc"]
    assert (run.info.status, run.data.params, run.data.metrics) == (
        "FINISHED",
        {"Epochs": "2"},
        {"test.accuracy": 0.75},
    )
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["report.html"]
    assert (runs["def"].info.status, runs["def"].data.params) == ("FAILED", {"Epochs": "3"})
    for name in ("train-job", "trial-job"):
        job = runs[name]
        assert job.data.tags["mlflow.parentRunId"] in {run.info.run_id, runs["def"].info.run_id}
        assert job.data.params == {"epochs": "2"}
        history = client.get_metric_history(job.info.run_id, "validation.accuracy")
        assert [(item.step, item.value) for item in history] == [(0, 0.5), (1, 0.7)]
    assert json.dumps(str(tmp_path / "mlruns"))[1:-1] in store.command
    assert store.command.split()[1:3] == ["ui", "--backend-store-uri"]
