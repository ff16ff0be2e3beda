"""Model versions, deployed or of local runs: what is known of each, and what differs between two."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from imgpipe.errors import CommandError
from local.program import hint
from local.registry.store import RegistryStore, StoredVersion
from local.storage import split_uri

Read = Callable[[str], "str | None"]  # the text of an s3:// URI, None where there is none

_SHOWN_CLASSES: Final = 3
_GROUPS: Final = ("Version", "Metric", "Data", "Hyperparameter", "Metadata")


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One version of a model package group; `read` brings the files of its package."""

    version: int
    arn: str
    approval_status: str
    created: datetime
    metadata: Mapping[str, str]
    evaluation_uri: str | None
    card: Mapping[str, Any]  # content of the model card
    read: Read

    @classmethod
    def from_description(cls, package: Mapping[str, Any], read: Read) -> ModelVersion:
        """From what DescribeModelPackage answers."""
        statistics = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {})
        return cls(
            version=package["ModelPackageVersion"],
            arn=package["ModelPackageArn"],
            approval_status=package["ModelApprovalStatus"],
            created=package["CreationTime"],
            metadata=package.get("CustomerMetadataProperties", {}),
            evaluation_uri=statistics.get("S3Uri"),
            card=json.loads(package.get("ModelCard", {}).get("ModelCardContent") or "{}"),
            read=read,
        )

    def file(self, name: str) -> dict[str, Any]:
        """A JSON file beside the evaluation; empty where there is none, or somebody deleted it."""
        text = self.read(f"{self.evaluation_uri.rsplit('/', 1)[0]}/{name}") if self.evaluation_uri else None
        content: dict[str, Any] = json.loads(text) if text else {}
        return content

    @cached_property
    def _evaluation(self) -> dict[str, Any]:
        """evaluation.json; empty where there is none, or somebody deleted it."""
        text = self.read(self.evaluation_uri) if self.evaluation_uri else None
        content: dict[str, Any] = json.loads(text) if text else {}
        return content

    @property
    def metrics(self) -> dict[str, float | None]:
        """The metrics of the test set."""
        return {name: item["value"] for name, item in self._evaluation.get("metrics", {}).items()}

    @property
    def classes(self) -> str:
        """Number and first names, as "2: bicycle, motorcycle"; the number alone where the evaluation is gone."""
        names = self._evaluation.get("classes", [])
        if not names:
            return str(self.metadata.get("num_classes", ""))
        return f"{len(names)}: {', '.join(names[:_SHOWN_CLASSES])}{', ...' if len(names) > _SHOWN_CLASSES else ''}"

    @property
    def hyperparameters(self) -> dict[str, str]:
        """All that our trainer ran with; of the built-in image's models those that the model card lists."""
        recorded: dict[str, str] = self.file("package.json").get("hyperparameters", {})
        listed = self.card.get("training_details", {}).get("training_job_details", {}).get("hyper_parameters", [])
        return recorded or {item["name"]: item["value"] for item in listed}

    @property
    def accuracy(self) -> float | None:
        """The accuracy on the test set; None where it is not known."""
        return self.metrics.get("accuracy")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A row of a comparison, None where a version has no such value; `change` is right minus left, of numbers."""

    group: str
    name: str
    left: str | None
    right: str | None
    change: float | None = None


def local_versions(store: RegistryStore) -> list[ModelVersion]:
    """The versions of a local registry, newest first."""
    return [_stored(item) for item in reversed(store.versions())]


def _stored(item: StoredVersion) -> ModelVersion:
    def read(uri: str) -> str | None:
        bucket, key = split_uri(uri)
        path = item.objects / key
        return path.read_text(encoding="utf-8") if bucket == item.bucket and path.is_file() else None

    package = {
        **item.request,
        "ModelPackageVersion": item.version,
        "ModelPackageArn": item.arn,
        "ModelApprovalStatus": item.approval_status,
        "CreationTime": item.created,
    }
    return ModelVersion.from_description(package, read)


def pick(versions: list[ModelVersion], number: int) -> ModelVersion:
    """The version of a number; raises CommandError naming those that there are."""
    for version in versions:
        if version.version == number:
            return version
    known = ", ".join(str(version.version) for version in versions)
    raise CommandError(f"there is no version {number}: " + (f"choose one of {known}" if known else "there is none yet"))


def compare(left: ModelVersion, right: ModelVersion, *, everything: bool = False) -> list[Difference]:
    """What differs between two versions, or with `everything` what is equal too, in groups."""
    one, other = dict(_facts(left)), dict(_facts(right))
    keys = sorted({**one, **other}, key=lambda key: _GROUPS.index(key[0]))
    rows = [_difference(key, one.get(key), other.get(key)) for key in keys]
    return [row for row in rows if everything or row.left != row.right]


def _facts(version: ModelVersion) -> Iterator[tuple[tuple[str, str], Any]]:
    yield ("Version", "created"), f"{version.created:%Y-%m-%d %H:%M:%S}"
    yield ("Version", "approval"), version.approval_status
    for metric, score in version.metrics.items():
        yield ("Metric", metric), score
    dataset = version.file("dataset.json")
    if dataset:
        yield ("Data", "content hash"), dataset.get("content_hash")
        names = dataset.get("classes", [])
        yield ("Data", "classes"), len(names)
        yield ("Data", "class names"), ", ".join(names)
        for split, count in dataset.get("counts", {}).items():
            yield ("Data", f"{split} images"), count
    for name, value in version.hyperparameters.items():
        yield ("Hyperparameter", name), value
    for name, value in version.metadata.items():
        yield ("Metadata", name), value


def _difference(key: tuple[str, str], left: Any, right: Any) -> Difference:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (left, right))
    change = right - left if numbers and right != left else None
    return Difference(group=key[0], name=key[1], left=_text(left), right=_text(right), change=change)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def registry_of(home: Path, environment: str) -> RegistryStore:
    """The local registry of an environment; raises CommandError where no run has registered anything."""
    store = RegistryStore(home, environment)
    if not store.versions():
        raise CommandError(
            f"no local run has registered a model in environment {environment}: "
            f"`{hint(f'run --env {environment}')}` does"
        )
    return store
