"""Keeps an emulated endpoint between accounts, as long as its process runs: what it is made of, and its live.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from local.emulator.account import EmulatedAccount
from local.endpoint import control
from local.errors import LocalRunError
from local.files import write_whole
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
    """Gives the account the endpoint that runs; one whose process has ended is forgotten.

    Raises LocalRunError where the file is of another format.
    """
    path = directory / NAME
    if not path.is_file() or control.running(directory) is None:
        path.unlink(missing_ok=True)
        return
    content = _read(path)
    sagemaker = account.client("sagemaker")
    sagemaker.create_model(**content["model"])
    sagemaker.create_endpoint_config(**content["configuration"])
    sagemaker.create_endpoint(**content["endpoint"])
    account.endpoints.restored(content["endpoint"]["EndpointName"], content["fleet"])
    if (directory / _OBJECTS).is_dir():
        for file in all_files(directory / _OBJECTS):
            account.objects.put(bucket, file.relative_to(directory / _OBJECTS).as_posix(), file)


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
