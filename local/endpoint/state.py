"""Keeps an emulated endpoint between accounts, as long as its process runs: what it is made of, and its live.json."""

from __future__ import annotations

import json
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

from local.emulator.account import EmulatedAccount
from local.endpoint import control
from local.endpoint.control import EndpointControl
from local.endpoint.fleet_files import remove_files
from local.errors import LocalRunError
from local.files import locked, write_whole
from local.storage import all_files

SCHEMA_VERSION: Final = 1
NAME: Final = "account.json"
_OBJECTS: Final = "objects"
_LIVE_PREFIX: Final = "serving/"  # of the artifact bucket: what the deployment machine writes down
_MODEL: Final = ("ModelName", "PrimaryContainer", "ExecutionRoleArn", "VpcConfig")
_CONFIGURATION: Final = ("EndpointConfigName", "ProductionVariants", "DataCaptureConfig", "KmsKeyId")


def endpoint_directory(home: Path, environment: str) -> Path:
    """Where an environment's local endpoint has its files."""
    return home / "endpoints" / environment


def capture_directory(home: Path, environment: str) -> Path:
    """Where captured requests lie, below <endpoint>/<variant>/yyyy/mm/dd/hh."""
    return endpoint_directory(home, environment) / "capture"


def changing(home: Path, environment: str) -> AbstractContextManager[None]:
    """Keeps everybody else from changing an environment's local endpoint; raises LocalRunError where somebody does."""
    directory = endpoint_directory(home, environment)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    busy = f"another deployment of {environment} is running on this machine: wait for its end, then try again"
    return locked(directory / ".lock", busy=busy)


def save(account: EmulatedAccount, directory: Path, *, endpoint: str, bucket: str) -> None:
    """Keeps the endpoint that lives, or forgets it where none does."""
    fleet = account.endpoints.live().get(endpoint)
    if fleet is None:
        (directory / NAME).unlink(missing_ok=True)
        return
    sagemaker = account.client("sagemaker")
    described = sagemaker.describe_endpoint(EndpointName=endpoint)
    configuration = sagemaker.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
    [variant] = configuration["ProductionVariants"]
    model = sagemaker.describe_model(ModelName=variant["ModelName"])
    content = {
        "schema_version": SCHEMA_VERSION,
        "model": _kept(model, _MODEL),
        "configuration": _kept(configuration, _CONFIGURATION),
        "endpoint": {
            "EndpointName": endpoint,
            "EndpointConfigName": described["EndpointConfigName"],
            "Tags": sagemaker.list_tags(ResourceArn=described["EndpointArn"])["Tags"],
        },
        "fleet": fleet,
    }
    _save_objects(account, directory / _OBJECTS, bucket=bucket)
    write_whole(directory / NAME, f"{json.dumps(content, indent=2)}\n".encode())


def restore(account: EmulatedAccount, directory: Path, *, bucket: str) -> None:
    """Gives the account the endpoint that runs, and what was recorded as live.

    An endpoint whose process has ended is forgotten. What a deployment that was killed has left running is ended:
    fleets, or a process that nobody wrote down. Raises LocalRunError where the file is of another format.
    """
    if (directory / _OBJECTS).is_dir():
        for file in all_files(directory / _OBJECTS):
            account.objects.put(bucket, file.relative_to(directory / _OBJECTS).as_posix(), file)
    path, running = directory / NAME, control.running(directory)
    content = _read(path) if running and path.is_file() else None
    if content is None or running is None or not _reconciled(running, content["fleet"], directory):
        if running:
            running.stop()
        path.unlink(missing_ok=True)
        return
    sagemaker = account.client("sagemaker")
    sagemaker.create_model(**content["model"])
    sagemaker.create_endpoint_config(**content["configuration"])
    sagemaker.create_endpoint(**content["endpoint"])
    account.endpoints.restored(content["endpoint"]["EndpointName"], content["fleet"])


def _reconciled(running: EndpointControl, fleet: str, directory: Path) -> bool:
    """Lets the fleet that was written down serve alone; returns False where it has ended."""
    fleets = running.status()["fleets"]
    if fleet not in fleets:
        return False
    running.route({fleet: 1.0})
    for other in fleets:
        if other != fleet:
            running.end(other)
            remove_files(directory, other)
    return True


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if content.get("schema_version") != SCHEMA_VERSION:
        raise LocalRunError(f"{path} is of another imgpipe: stop the endpoint with `imgpipe endpoint --local --stop`")
    return content


def _kept(described: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {name: described[name] for name in fields if described.get(name)}


def _save_objects(account: EmulatedAccount, directory: Path, *, bucket: str) -> None:
    """Written beside first: the account may read its objects from this very folder."""
    fresh = directory.with_name(f".{directory.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    for key in account.objects.keys(bucket, _LIVE_PREFIX):
        path = fresh / key
        path.parent.mkdir(parents=True, exist_ok=True)
        account.objects.copy_out(bucket, key, path)
    shutil.rmtree(directory, ignore_errors=True)
    if fresh.is_dir():
        fresh.rename(directory)
