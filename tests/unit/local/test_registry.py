"""The local registry: versions outlive the account, with their numbers and files, whatever else runs or dies."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from small_pipeline import Laboratory

from local.emulator.account import EmulatedAccount, emulated_account
from local.errors import LocalRunError
from local.registry import store as store_module
from local.registry.account import LocalRegistry
from local.registry.store import RegistryStore

BUCKET = "artifact-bucket"


def request(execution: str, status: str = "PendingManualApproval") -> dict[str, Any]:
    """CreateModelPackage, as the pipeline's Register step words it."""
    place = f"s3://{BUCKET}/models/{execution}/package"
    return {
        "ModelPackageGroupName": "group",
        "ModelApprovalStatus": status,
        "InferenceSpecification": {
            "Containers": [{"Image": "image:1", "ModelDataUrl": f"{place}/model.tar.gz"}],
            "SupportedContentTypes": ["image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "CustomerMetadataProperties": {"training_artifact_uri": f"{place}/model.tar.gz", "execution_id": execution},
    }


@contextmanager
def environment(*, region: str = "us-east-1", group: str = "group") -> Iterator[EmulatedAccount]:
    with emulated_account(region=region) as account:
        location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        account.client("s3").create_bucket(Bucket=BUCKET, **location)
        account.client("sagemaker").create_model_package_group(ModelPackageGroupName=group)
        yield account


def run(store: RegistryStore, execution: str, status: str = "PendingManualApproval") -> str:
    """A run, in an account of its own, that registers one version."""
    with environment() as account:
        registry = LocalRegistry(store, bucket=BUCKET)
        registry.restore(account)
        for name in ("model.tar.gz", "evaluation.json"):
            key = f"models/{execution}/package/{name}"
            account.client("s3").put_object(Bucket=BUCKET, Key=key, Body=f"{name} of {execution}".encode())
        account.client("s3").put_object(Bucket=BUCKET, Key="models/other/file", Body=b"x")
        return registry.register(account, request(execution, status))


@pytest.fixture
def store(tmp_path: Path) -> RegistryStore:
    return RegistryStore(tmp_path, "dev")


def packages(account: EmulatedAccount) -> list[dict[str, Any]]:
    sagemaker = account.client("sagemaker")
    listed = sagemaker.list_model_packages(ModelPackageGroupName="group")["ModelPackageSummaryList"]
    described = [sagemaker.describe_model_package(ModelPackageName=item["ModelPackageArn"]) for item in listed]
    return sorted(described, key=lambda item: item["ModelPackageVersion"])


def test_a_later_account_knows_the_versions_and_their_files(store: RegistryStore) -> None:
    arns = [run(store, "one"), run(store, "two", "Approved")]
    assert [arn.rsplit("/", 1)[-1] for arn in arns] == ["1", "2"]
    with environment() as account:
        LocalRegistry(store, bucket=BUCKET).restore(account)
        known = packages(account)
        assert [item["ModelPackageArn"] for item in known] == arns
        assert [item["ModelApprovalStatus"] for item in known] == ["PendingManualApproval", "Approved"]
        assert [item["CustomerMetadataProperties"]["execution_id"] for item in known] == ["one", "two"]
        assert [item["CreationTime"] for item in known] == [item.created for item in store.versions()]
        key = "models/one/package/model.tar.gz"
        body = account.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert body == b"model.tar.gz of one"
        # Only what the versions refer to is kept.
        assert "models/other/file" not in set(account.objects.keys(BUCKET, ""))


def test_versions_that_are_brought_back_are_no_events(store: RegistryStore) -> None:
    """Rules would take them for registrations of now, and deploy one that was registered as approved."""
    run(store, "one", "Approved")
    with environment() as account:
        events = account.client("events")
        events.put_rule(Name="rule", State="ENABLED", EventPattern=json.dumps({"source": ["aws.sagemaker"]}))
        events.put_targets(Rule="rule", Targets=[{"Id": "1", "Arn": "arn:aws:kinesis:us-east-1:1:stream/s"}])
        registry = LocalRegistry(store, bucket=BUCKET)
        registry.restore(account)
        assert account.events.deliveries == []
        registry.register(account, request("two"))
        [delivery] = account.events.deliveries
        assert delivery.content["detail"]["ModelPackageVersion"] == 2


def test_registries_of_environments_are_apart(store: RegistryStore, tmp_path: Path) -> None:
    run(store, "one")
    other = RegistryStore(tmp_path, "staging")
    assert other.versions() == []
    assert run(other, "two").endswith("/1")


def test_an_approval_is_kept(store: RegistryStore) -> None:
    run(store, "one")
    assert store.set_approval(1, "Approved").approval_status == "Approved"
    with environment() as account:
        LocalRegistry(store, bucket=BUCKET).restore(account)
        listed = account.client("sagemaker").list_model_packages(
            ModelPackageGroupName="group", ModelApprovalStatus="Approved"
        )
        assert [item["ModelPackageVersion"] for item in listed["ModelPackageSummaryList"]] == [1]
    assert [path.name for path in store.versions()[0].directory.iterdir() if path.name.startswith(".")] == []


def test_an_unknown_version_is_named(store: RegistryStore) -> None:
    with pytest.raises(LocalRunError, match="has no version 3: it has none: run `imgpipe run` first"):
        store.set_approval(3, "Approved")
    run(store, "one")
    with pytest.raises(LocalRunError, match="has no version 3: it has 1"):
        store.set_approval(3, "Approved")


def test_a_run_that_registers_while_another_runs_gets_the_next_number(store: RegistryStore) -> None:
    with environment() as account:
        registry = LocalRegistry(store, bucket=BUCKET)
        registry.restore(account)
        done = multiprocessing.get_context("spawn").Process(target=run, args=(store, "meanwhile"))
        done.start()
        done.join(60)
        assert done.exitcode == 0
        assert registry.register(account, request("late")).endswith("/2")
        assert [item["CustomerMetadataProperties"]["execution_id"] for item in packages(account)] == [
            "meanwhile",
            "late",
        ]
    assert [item.version for item in store.versions()] == [1, 2]


def test_two_at_once_lose_nothing(store: RegistryStore) -> None:
    context = multiprocessing.get_context("spawn")
    names = ["a", "b"]
    running = [context.Process(target=run, args=(store, name)) for name in names]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0, 0]
    versions = store.versions()
    assert [item.version for item in versions] == [1, 2]
    assert sorted(item.request["CustomerMetadataProperties"]["execution_id"] for item in versions) == names


def test_an_interrupted_registration_leaves_no_version(store: RegistryStore) -> None:
    run(store, "one")

    def interrupted(directory: Path) -> None:
        (directory / "half").write_text("x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add(
            version=2,
            arn="arn",
            created=datetime.now(timezone.utc),
            approval_status="Approved",
            bucket=BUCKET,
            request={},
            write_objects=interrupted,
        )
    assert [item.version for item in store.versions()] == [1]
    (store.directory / ".new-killed").mkdir()  # what a killed run leaves
    assert run(store, "two").endswith("/2")
    assert sorted(path.name for path in store.directory.iterdir()) == [".lock", "000001", "000002"]


def test_old_versions_give_up_their_files(store: RegistryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "KEPT_VERSIONS", 2)
    run(store, "one", "Approved")
    for name in ("two", "three", "four"):
        run(store, name)
    assert [item.objects.is_dir() for item in store.versions()] == [True, False, True, True]
    with pytest.raises(LocalRunError, match="version 2 has lost its files to newer versions"):
        store.set_approval(2, "Approved")
    assert run(store, "five").endswith("/5")
    with environment() as account:
        LocalRegistry(store, bucket=BUCKET).restore(account)
        assert [item["ModelPackageVersion"] for item in packages(account)] == [1, 2, 3, 4, 5]
        folders = {key.split("/")[1] for key in account.objects.keys(BUCKET, "models/")}
        assert folders == {"one", "four", "five"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"schema_version": 0}, "has format 0, this imgpipe knows 1: remove .*dev to start with an empty registry"),
        ({}, "is damaged: remove .*dev to start"),
        ({"schema_version": 1, "version": 1}, "is damaged: remove .*dev to start"),
        ([], "is damaged"),
    ],
)
def test_another_format_is_refused_by_name(store: RegistryStore, content: Any, message: str) -> None:
    run(store, "one")
    path = store.directory / "000001" / "package.json"
    path.write_text(json.dumps(content))
    with pytest.raises(LocalRunError, match=message) as raised:
        store.versions()
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("bucket", "region", "group"),
    [("another-bucket", "us-east-1", "group"), (BUCKET, "eu-west-1", "group"), (BUCKET, "us-east-1", "renamed")],
)
def test_the_registry_of_another_environment_is_refused(
    store: RegistryStore, bucket: str, region: str, group: str
) -> None:
    run(store, "one")
    with (
        environment(region=region, group=group) as account,
        pytest.raises(LocalRunError, match=r"the local registry was kept for .*: remove .*dev to start"),
    ):
        LocalRegistry(store, bucket=bucket).restore(account)


def test_a_step_registers_through_the_registry(laboratory: Laboratory, store: RegistryStore) -> None:
    account = laboratory.account
    account.client("s3").create_bucket(Bucket=BUCKET)
    account.client("sagemaker").create_model_package_group(ModelPackageGroupName="group")
    step = {"Name": "Register", "Type": "RegisterModel", "Arguments": request("one")}
    result = laboratory.run([step], register=LocalRegistry(store, bucket=BUCKET).register)
    assert result.record.status == "Succeeded"
    [stored] = store.versions()
    assert result.step("Register").metadata["RegisterModel"]["Arn"] == stored.arn


def test_updates_keep_what_they_do_not_name(store: RegistryStore) -> None:
    with environment() as account:
        sagemaker = account.client("sagemaker")
        arn = sagemaker.create_model_package(**request("one"))["ModelPackageArn"]
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
        sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"more": "yes"})
        described = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (described["ModelApprovalStatus"], described["ApprovalDescription"]) == ("Approved", "good")
    assert described["CustomerMetadataProperties"] == request("one")["CustomerMetadataProperties"] | {"more": "yes"}
