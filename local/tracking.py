"""MLflow tracking of a local run, in a store of its own: the execution is a run, its training jobs are runs in it."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from local.files import locked

_STATUS: Final = {"Succeeded": "FINISHED", "Failed": "FAILED", "Stopped": "KILLED"}
_PARENT_TAG: Final = "mlflow.parentRunId"  # https://mlflow.org/docs/latest/ml/tracking, child runs
_BATCH: Final = 1000  # metrics in one call of log_batch


@dataclass(frozen=True, kw_only=True)
class Store:
    """Where runs are tracked: a database, and the artifacts beside it."""

    directory: Path

    @property
    def uri(self) -> str:
        """As MLflow takes it."""
        return f"sqlite:///{self.directory.resolve() / 'mlflow.db'}"

    @property
    def command(self) -> str:
        """What shows it in a browser."""
        return f"{Path(sys.executable).with_name('mlflow')} ui --backend-store-uri {self.uri}"


def track(store: Store, *, directory: Path, summary: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Writes a finished execution, whose files are in `directory`, to the store and returns the id of its run.

    Parameters, the metrics of the test set and the report belong to the execution's run; each training job is a run
    within it, with its hyperparameters and its metrics by epoch.
    """
    store.directory.mkdir(parents=True, exist_ok=True)
    with locked(store.directory / ".lock"):  # of two runs that are the first, one makes the database
        client = _client(store.uri)
        experiment = _experiment(client, f"imgpipe-{summary['pipeline']}", store.directory / "artifacts")
        run = client.create_run(experiment, run_name=summary["execution_id"]).info.run_id
        _log(client, run, params=parameters, metrics={name: {0: value} for name, value in _final(summary).items()})
        for job in _jobs(directory / "logs"):
            child = client.create_run(experiment, run_name=job["training_job"], tags={_PARENT_TAG: run}).info.run_id
            series = {name: {item["epoch"]: item["value"] for item in values} for name, values in job["series"].items()}
            _log(client, child, params=job["hyperparameters"], metrics=series)
            client.set_terminated(child)
        report = directory / "report.html"
        if report.is_file():
            client.log_artifact(run, str(report))
        client.set_terminated(run, status=_STATUS[summary["status"]])
    return str(run)


def _client(uri: str) -> Any:
    # It would send usage statistics; a local run needs no network.
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    from mlflow import MlflowClient  # late: it takes a second, and few runs are tracked

    for name in ("alembic", "mlflow"):  # both tell of every table that they make
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri)


def _experiment(client: Any, name: str, artifacts: Path) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name, artifact_location=artifacts.as_uri()))


def _jobs(logs: Path) -> Iterator[dict[str, Any]]:
    """What the training jobs have left, see local.executor.metrics."""
    for path in sorted(logs.rglob("*.metrics.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _final(summary: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of the test set; undefined ones are left out."""
    metrics = summary["metrics"] or {}
    return {f"test.{name}": float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def _log(client: Any, run: str, *, params: Mapping[str, Any], metrics: Mapping[str, Mapping[int, float]]) -> None:
    """`metrics` maps a name to values by epoch; MLflow knows no colon in a name."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    values = [
        Metric(name.replace(":", "."), value, now, epoch)
        for name, series in metrics.items()
        for epoch, value in series.items()
    ]
    client.log_batch(run, params=[Param(name, str(value)) for name, value in params.items()])
    for begin in range(0, len(values), _BATCH):
        client.log_batch(run, metrics=values[begin : begin + _BATCH])
