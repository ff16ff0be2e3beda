"""CheckBase step: refuses a base model of other classes, another network or image size before a job is paid for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

CHECKED = "yes"
UNCHECKED = "no package.json beside the model: the trainer checks"
UNKNOWN = "unknown"

_CONFIG = Config(retries={"mode": "standard", "max_attempts": 8})
_URI = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/((?:[^/]+/)*)([^/]*)")
_ARTIFACT = "model.tar.gz"
_MOST_NAMES = 5
_WAY_OUT = "name another BaseModelUri, start with values that fit, or train from scratch with the pipeline train"
_REASONS = {
    "NoSuchBucket": "the bucket does not exist",
    "AccessDenied": "this pipeline may not read it; copy it below pretrained/ in the environment's data bucket",
    "AllAccessDisabled": "access to the bucket is disabled",
    "PermanentRedirect": "the bucket lies in another region; use one in the region of the pipeline",
}


def handler(event: dict[str, Any], _context: object) -> dict[str, str]:
    """Compares `event["base_model_uri"]` (the S3 URI of a model.tar.gz) with what this execution trains.

    `event["dataset_uri"]` is the S3 prefix with Preprocess's labels.json, `num_layers` and `image_size` (pixels) are
    this execution's, as numbers or as text. Reads package.json and labels.json beside the base model; what
    package.json calls unknown, because the built-in image wrote the model, is not compared.

    Returns `base_model_uri` as it was given, and `checked`: "yes", or why nothing could be compared. Raises ValueError
    with one line that names both sides of every difference: the text becomes the step's failure reason.
    """
    base_uri, dataset_uri = str(event.get("base_model_uri", "")), str(event.get("dataset_uri", ""))
    bucket, folder = _base_folder(base_uri)
    client = boto3.client("s3", config=_CONFIG)
    if not _exists(client, bucket, folder + _ARTIFACT, named=f"base model {base_uri}"):
        raise ValueError(f"base model {base_uri} does not exist: name a {_ARTIFACT} that does, or latest-approved")
    checked = UNCHECKED
    if _exists(client, bucket, f"{folder}package.json", named=f"base model {base_uri}"):
        package = _read(client, bucket, f"{folder}package.json", kind=dict)
        differences = [
            *_network_differences(package, event, where=f"s3://{bucket}/{folder}package.json"),
            *_class_differences(_read(client, bucket, f"{folder}labels.json", kind=list), _labels(client, dataset_uri)),
        ]
        if differences:
            raise ValueError(f"base model {base_uri} does not fit: {'; '.join(differences)}: {_WAY_OUT}")
        checked = CHECKED
    result = {"base_model_uri": base_uri, "checked": checked}
    print(json.dumps({"level": "INFO", "message": "base model checked", **result}, sort_keys=True))
    return result


def _base_folder(uri: str) -> tuple[str, str]:
    """Bucket, and the key prefix of the folder with its slash."""
    match = _URI.fullmatch(uri)
    if match is None or match.group(3) != _ARTIFACT:
        raise ValueError(
            f"base model {uri!r} is no S3 URI of a {_ARTIFACT}: write it as s3://bucket/prefix/{_ARTIFACT}"
        )
    return match.group(1), match.group(2)


def _labels(client: Any, dataset_uri: str) -> list[str]:
    """The classes of the packed data set, in label order."""
    match = _URI.fullmatch(dataset_uri.rstrip("/") + "/")
    if match is None:
        raise ValueError(f"data set {dataset_uri!r} is no S3 folder: write it as s3://bucket/prefix")
    names: list[str] = _read(client, match.group(1), f"{match.group(2)}labels.json", kind=list)
    return names


def _exists(client: Any, bucket: str, key: str, *, named: str) -> bool:
    """Whether there is such an object; by a listing, for S3 hides a missing object from who may only read."""
    try:
        page = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
    except ClientError as error:
        raise _explained(error, named) from error
    return any(item["Key"] == key for item in page.get("Contents", []))


def _read(client: Any, bucket: str, key: str, *, kind: type) -> Any:
    """A JSON file whose content is of type `kind`."""
    uri = f"s3://{bucket}/{key}"
    if not _exists(client, bucket, key, named=uri):
        raise ValueError(f"{uri} does not exist: take model and data set as the pipelines wrote them, all files")
    try:
        text = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        content = json.loads(text)
    except ClientError as error:
        raise _explained(error, uri) from error
    except ValueError as error:
        raise ValueError(f"{uri} is not JSON: {error}: restore it, or name another BaseModelUri") from error
    if not isinstance(content, kind):
        raise ValueError(f"{uri} holds no JSON {kind.__name__}: restore it, or name another BaseModelUri")
    return content


def _explained(error: ClientError, named: str) -> Exception:
    """The error in a person's terms, where it has any; else itself."""
    reason = _REASONS.get(error.response["Error"]["Code"])
    return error if reason is None else ValueError(f"{named} cannot be read: {reason}")


def _network_differences(package: dict[str, Any], event: dict[str, Any], *, where: str) -> Iterator[str]:
    size = _whole(event.get("image_size"), named="image_size")
    layers = _whole(event.get("num_layers"), named="num_layers")
    # A package of an earlier release says nothing about either.
    base_layers, base_shape = package.get("num_layers", UNKNOWN), package.get("image_shape", UNKNOWN)
    if base_layers != UNKNOWN and (known := _whole(base_layers, named=f"num_layers in {where}")) != layers:
        yield f"it has {known} layers and this execution asks for {layers} (NumLayers)"
    if base_shape != UNKNOWN and (shape := _shape(base_shape, where=where)) != [3, size, size]:
        yield f"its images are {_shown(shape)} and this execution's are {_shown([3, size, size])} (ImageSize)"


def _whole(value: object, *, named: str) -> int:
    """A whole number, written as a number or as text."""
    try:
        number = float(str(value))
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass  # the next line says it for all that is no whole number
    raise ValueError(f"{named} is {value!r}, which is no whole number: give one, such as 20")


def _shape(value: object, *, where: str) -> list[int]:
    """Channels, height and width in pixels, from "3,64,64" or [3, 64, 64]."""
    parts = value if isinstance(value, list) else str(value).split(",")
    return [_whole(part, named=f"image_shape in {where}") for part in parts]


def _shown(shape: list[int]) -> str:
    return ",".join(str(side) for side in shape)


def _class_differences(base: Sequence[object], data: Sequence[object]) -> Iterator[str]:
    base_names, names = [str(name) for name in base], [str(name) for name in data]
    if base_names == names:
        return
    gone = [name for name in base_names if name not in set(names)]
    new = [name for name in names if name not in set(base_names)]
    if gone or new:
        only = [f"only {side}: {_few(found)}" for side, found in (("it has", gone), ("the data set has", new)) if found]
        yield f"it has {len(base_names)} classes and the data set {len(names)} ({', '.join(only)})"
    else:
        yield f"its classes are in the order {_few(base_names)} and the data set's in the order {_few(names)}"


def _few(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
