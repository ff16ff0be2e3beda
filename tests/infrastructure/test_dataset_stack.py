"""The buckets: private, encrypted, logged, and kept or emptied as the environment says."""

from __future__ import annotations

import pytest
from cloudformation import resolve, resources

KINDS = ("data", "artifacts", "logs")


@pytest.fixture
def stack(template, environment):
    return template(environment, "dataset")


def _bucket(stack, purpose):
    named = {
        resolve(body["Properties"]["BucketName"], stack): body for body in resources(stack, "AWS::S3::Bucket").values()
    }
    (found,) = [body for name, body in named.items() if f"-{purpose}-" in name]
    return found


def _logical_id(stack, purpose):
    found = _bucket(stack, purpose)
    return next(name for name, body in stack["Resources"].items() if body is found)


def test_there_are_three_buckets_with_fixed_names(stack, environment):
    names = {resolve(body["Properties"]["BucketName"], stack) for body in resources(stack, "AWS::S3::Bucket").values()}
    assert names == {f"imgpipe-{environment}-{purpose}-123456789012-us-east-1" for purpose in KINDS}
    assert all(len(name) <= 63 for name in names)


@pytest.mark.parametrize("purpose", KINDS)
def test_bucket_is_private_versioned_and_encrypted(stack, purpose):
    properties = _bucket(stack, purpose)["Properties"]
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (encryption,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] in ("AES256", "aws:kms")
    assert "AccessControl" not in properties


@pytest.mark.parametrize("purpose", KINDS)
def test_bucket_refuses_plain_http_and_old_tls(stack, purpose):
    (policy,) = [
        body
        for body in resources(stack, "AWS::S3::BucketPolicy").values()
        if body["Properties"]["Bucket"] == {"Ref": _logical_id(stack, purpose)}
    ]
    denied = [
        statement for statement in policy["Properties"]["PolicyDocument"]["Statement"] if statement["Effect"] == "Deny"
    ]
    conditions = [statement["Condition"] for statement in denied]
    assert {"Bool": {"aws:SecureTransport": "false"}} in conditions
    assert {"NumericLessThan": {"s3:TlsVersion": 1.2}} in conditions
    assert all(statement["Principal"] == {"AWS": "*"} for statement in denied)
    # All objects and the bucket itself.
    assert all(len(statement["Resource"]) == 2 for statement in denied)


@pytest.mark.parametrize("purpose", ["data", "artifacts"])
def test_access_is_logged(stack, purpose):
    logging = _bucket(stack, purpose)["Properties"]["LoggingConfiguration"]
    assert logging == {
        "DestinationBucketName": {"Ref": _logical_id(stack, "logs")},
        "LogFilePrefix": f"{purpose}/",
    }


def test_only_the_logging_service_may_write_logs(stack):
    (policy,) = [
        body
        for body in resources(stack, "AWS::S3::BucketPolicy").values()
        if body["Properties"]["Bucket"] == {"Ref": _logical_id(stack, "logs")}
    ]
    writers = [
        statement
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and statement["Action"] == "s3:PutObject"
    ]
    assert len(writers) == 2
    for statement in writers:
        assert statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
        assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        assert "aws:SourceArn" in statement["Condition"]["ArnLike"]


@pytest.mark.parametrize("purpose", KINDS)
def test_every_bucket_is_tidied(stack, purpose):
    rules = _bucket(stack, purpose)["Properties"]["LifecycleConfiguration"]["Rules"]
    housekeeping = next(rule for rule in rules if rule["Id"] == "housekeeping")
    assert housekeeping["Status"] == "Enabled"
    assert housekeeping["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert housekeeping["NoncurrentVersionExpiration"]["NoncurrentDays"] >= 1
    assert "Prefix" not in housekeeping


def test_executions_expire_and_models_never(stack, environment, template):
    rules = _bucket(stack, "artifacts")["Properties"]["LifecycleConfiguration"]["Rules"]
    expiring = [rule for rule in rules if "ExpirationInDays" in rule]
    assert [(rule["Prefix"], rule["ExpirationInDays"]) for rule in expiring] == [
        ("executions/", {"dev": 14, "staging": 30, "prod": 180}[environment]),
        ("classify/", 7),
        ("capture/", {"dev": 14, "staging": 30, "prod": 90}[environment]),
        ("monitor/", {"dev": 14, "staging": 30, "prod": 90}[environment]),
    ]


@pytest.mark.parametrize("prefix", ["classify/", "capture/", "monitor/"])
def test_expired_images_of_users_cannot_be_restored_for_long(stack, prefix):
    """An expiry only hides the object in a versioned bucket; its bytes go with the noncurrent version."""
    rules = _bucket(stack, "artifacts")["Properties"]["LifecycleConfiguration"]["Rules"]
    [rule] = [rule for rule in rules if rule.get("Prefix") == prefix]
    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    # S3 refuses both in one rule; the rule for the whole bucket removes the markers that are left.
    assert "ExpiredObjectDeleteMarker" not in rule
    assert [item["Id"] for item in rules if item.get("ExpiredObjectDeleteMarker")] == ["housekeeping"]


def test_images_never_expire(stack):
    rules = _bucket(stack, "data")["Properties"]["LifecycleConfiguration"]["Rules"]
    assert not [rule for rule in rules if "ExpirationInDays" in rule]


def test_dev_empties_its_buckets_on_destroy(template):
    stack = template("dev", "dataset")
    assert len(resources(stack, "Custom::S3AutoDeleteObjects")) == len(KINDS)
    assert {body["DeletionPolicy"] for body in resources(stack, "AWS::S3::Bucket").values()} == {"Delete"}


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_staging_and_prod_keep_their_buckets_on_destroy(template, environment):
    stack = template(environment, "dataset")
    assert not resources(stack, "Custom::S3AutoDeleteObjects")
    assert not resources(stack, "AWS::Lambda::Function")
    for kind in ("AWS::S3::Bucket", "AWS::S3::BucketPolicy"):
        for body in resources(stack, kind).values():
            assert (body.get("DeletionPolicy"), body.get("UpdateReplacePolicy")) == (
                "RetainExceptOnCreate",
                "Retain",
            ), kind
