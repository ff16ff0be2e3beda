"""Runs an environment's monitor on this machine: its own state machine, over what the local endpoint captured."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

from local.assembly import CloudAssembly
from local.containers.process import ProcessRuntime
from local.emulator.account import EmulatedAccount, emulated_account
from local.emulator.executions import EndedExecution, execute
from local.endpoint.state import capture_directory, endpoint_directory
from local.errors import LocalRunError
from local.jobs import ContainerJobs
from local.registry.account import LocalRegistry
from local.registry.store import RegistryStore
from local.storage import all_files
from local.synth import synthesise

MACHINE_OUTPUT: Final = "MonitorStateMachineArn"
TOPIC_OUTPUT: Final = "NotificationTopicArn"
BUCKET_OUTPUT: Final = "ArtifactBucketName"
RESULTS: Final = "monitor"
LABELS: Final = "ground-truth"


@dataclass(frozen=True, kw_only=True)
class MonitoringRequest:
    """An environment, and where its files are."""

    environment: str
    project: Path
    home: Path
    interpreters: Mapping[str, Path]

    @property
    def directory(self) -> Path:
        """Where the local endpoint has its files; labels go to `ground-truth` in it, results come to `monitor`."""
        return endpoint_directory(self.home, self.environment)


@dataclass(frozen=True, kw_only=True)
class MonitoringResult:
    """How the machine ended, what it told people, and monitor.json with its folder, None where nothing was captured."""

    execution: EndedExecution
    notifications: list[tuple[str, str]] = field(default_factory=list)
    content: dict[str, Any] | None = None
    directory: Path | None = None


def monitor_locally(request: MonitoringRequest, *, say: Callable[[str], None]) -> MonitoringResult:
    """Looks at the hours up to now; `say` hears of the phases.

    Raises LocalRunError where no version was deployed on this machine.
    """
    live = _live(request.directory)
    with tempfile.TemporaryDirectory(prefix="imgpipe-monitor-") as folder:
        say(f"Synthesising environment {request.environment}")
        assembly = synthesise(request.environment, project=request.project, outdir=Path(folder) / "cdk.out")
        with emulated_account(region=assembly.stacks[0].region) as account:
            say("Deploying its stacks into an emulated account")
            outputs = account.deploy(assembly)
            _bring(account, request, bucket=outputs[BUCKET_OUTPUT])
            account.processing_jobs = jobs = _jobs(account, assembly, request, Path(folder) / "jobs")
            say("Comparing what was captured with the baseline")
            now = datetime.now(timezone.utc)
            # The next whole hour, so that what was asked just now counts.
            wished = {
                "end": (now + timedelta(hours=1)).isoformat(),
                "since": _deployed_at(live),
                "publish": True,
            }
            with closing(jobs):
                ended = execute(account, outputs[MACHINE_OUTPUT], wished)
            content, directory = _results(account, request, ended, bucket=outputs[BUCKET_OUTPUT])
            told = account.notifications(outputs[TOPIC_OUTPUT])
    return MonitoringResult(execution=ended, notifications=told, content=content, directory=directory)


def _live(directory: Path) -> Path:
    """What the newest deployment wrote down about its version; each kind of endpoint has a record of its own."""
    found = list((directory / "objects" / "serving").glob("*/live.json"))
    if not found:
        raise LocalRunError(
            "no version was deployed on this machine, so there is nothing to monitor: "
            "run `imgpipe approve VERSION --local` first"
        )
    return max(found, key=_deployed_at)


def _deployed_at(live: Path) -> str:
    """When the live version was deployed, ISO 8601: files of earlier deployments do not say."""
    said = json.loads(live.read_text(encoding="utf-8")).get("deployed_at")
    return str(said) if said else datetime.fromtimestamp(live.stat().st_mtime, timezone.utc).isoformat()


def _bring(account: EmulatedAccount, request: MonitoringRequest, *, bucket: str) -> None:
    """Gives the account the registry's versions, and what lies beside the local endpoint."""
    LocalRegistry(RegistryStore(request.home, request.environment), bucket=bucket).restore(account)
    captured = capture_directory(request.home, request.environment)
    for folder, prefix in {
        request.directory / "objects": "",
        captured: "capture/",
        request.directory / LABELS: f"{LABELS}/",
        request.directory / RESULTS: f"{RESULTS}/",
    }.items():
        for path in all_files(folder) if folder.is_dir() else ():
            account.objects.put(bucket, prefix + path.relative_to(folder).as_posix(), path)


def _jobs(
    account: EmulatedAccount, assembly: CloudAssembly, request: MonitoringRequest, directory: Path
) -> ContainerJobs:
    return ContainerJobs(
        account=account,
        images=assembly.images,
        runtime=ProcessRuntime(interpreters=request.interpreters),
        directory=directory,
    )


def _results(
    account: EmulatedAccount, request: MonitoringRequest, ended: EndedExecution, *, bucket: str
) -> tuple[dict[str, Any] | None, Path | None]:
    """Keeps what the run wrote for the next ones, which show it as history."""
    report = ended.output.get("report") if isinstance(ended.output, dict) else None
    if report is None:
        return None, None
    prefix = str(report).removeprefix(f"s3://{bucket}/").rpartition("/")[0]
    directory = request.directory / prefix
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("monitor.json", "monitor.html", "predictions.jsonl", "undecided.txt"):
        # An earlier result of this hour may be the very file that the account reads, so it must not be written over.
        beside = directory / f".{name}.new"
        account.objects.copy_out(bucket, f"{prefix}/{name}", beside)
        beside.replace(directory / name)
    content: dict[str, Any] = json.loads((directory / "monitor.json").read_text(encoding="utf-8"))
    return content, directory
