"""The local registry in an emulated account: versions of earlier runs, and the keeping of new ones."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from local.emulator.account import EmulatedAccount
from local.errors import LocalRunError
from local.executor.tools import create_model_package
from local.registry.store import RegistryStore, StoredVersion
from local.storage import all_files

# What a version refers to lies below models/<execution>/ of the artifact bucket, see pipeline_def/steps/context.py.
_PREFIX: Final = r"s3://{bucket}/(models/[^/\"]+/)"


class LocalRegistry:
    """The versions of one environment, whose objects lie in `bucket`."""

    def __init__(self, store: RegistryStore, *, bucket: str) -> None:
        self._store = store
        self._bucket = bucket

    def restore(self, account: EmulatedAccount) -> None:
        """Gives the account the versions that it does not know, with their numbers, ARNs and objects.

        Raises LocalRunError where they belong to an environment of another name, region or account.
        """
        with self._store.locked():
            self._catch_up(account)

    def register(self, account: EmulatedAccount, request: Mapping[str, Any]) -> str:
        """Creates a model package and keeps it; returns its ARN. Its number follows those of other runs too."""
        with self._store.locked():
            self._catch_up(account)
            arn = create_model_package(account, request)
            described = account.client("sagemaker").describe_model_package(ModelPackageName=arn)
            self._store.add(
                version=described["ModelPackageVersion"],
                arn=arn,
                created=described["CreationTime"],
                approval_status=described["ModelApprovalStatus"],
                bucket=self._bucket,
                request=request,
                write_objects=lambda directory: self._write_objects(account, request, directory),
            )
        return arn

    def _catch_up(self, account: EmulatedAccount) -> None:
        for stored in self._store.versions():
            if account.packages.known(stored.arn):
                continue
            self._check(stored)
            if stored.objects.is_dir():
                for path in all_files(stored.objects):
                    account.objects.put(self._bucket, path.relative_to(stored.objects).as_posix(), path)
            with account.events.quiet():
                self._create(account, stored)
            account.packages.restored(stored.arn, created=stored.created, approval_status=stored.approval_status)

    def _check(self, stored: StoredVersion) -> None:
        if stored.bucket != self._bucket:
            raise self._foreign(f"bucket {stored.bucket}", self._bucket)

    def _create(self, account: EmulatedAccount, stored: StoredVersion) -> None:
        try:
            arn = create_model_package(account, stored.request)
        except ClientError as error:
            group = stored.request["ModelPackageGroupName"]
            raise self._foreign(f"model package group {group}", "another") from error
        if arn != stored.arn:
            raise self._foreign(stored.arn, arn)

    def _foreign(self, kept: str, now: str) -> LocalRunError:
        return LocalRunError(
            f"the local registry was kept for {kept}, the environment now has {now}: remove {self._store.directory} "
            "to start with an empty registry"
        )

    def _write_objects(self, account: EmulatedAccount, request: Mapping[str, Any], directory: Path) -> None:
        pattern = _PREFIX.format(bucket=re.escape(self._bucket))
        for prefix in sorted(set(re.findall(pattern, json.dumps(request)))):
            for key in account.objects.keys(self._bucket, prefix):
                path = directory / key
                path.parent.mkdir(parents=True, exist_ok=True)
                account.objects.copy_out(self._bucket, key, path)
