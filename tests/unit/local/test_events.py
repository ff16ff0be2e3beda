"""Events of the emulated account: what is delivered where, in which words, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from test_state_machines import function, machine

from local.emulator.account import EmulatedAccount
from local.emulator.event_input import fill, find, target_input
from local.emulator.executions import follow
from local.errors import LocalRunError

EVENT = {"source": "shop", "detail-type": "Order", "detail": {"id": 7, "name": 'a "b"', "tags": ["x", "y"]}}


def rule(account: EmulatedAccount, target: dict[str, Any], **fields: Any) -> None:
    events = account.client("events")
    pattern = {} if "ScheduleExpression" in fields else {"EventPattern": json.dumps({"source": ["shop"]})}
    events.put_rule(**({"Name": "rule", "State": "ENABLED"} | pattern | fields))
    events.put_targets(Rule="rule", Targets=[{"Id": "1", **target}])


def put(account: EmulatedAccount, source: str = "shop") -> None:
    entry = {"Source": source, "DetailType": "Order", "Detail": json.dumps(EVENT["detail"])}
    account.client("events").put_events(Entries=[entry])


def test_a_state_machine_gets_the_event(account: EmulatedAccount) -> None:
    rule(account, {"Arn": machine(account, {"A": {"Type": "Pass", "End": True}})})
    put(account)
    [delivery] = account.events.deliveries
    output = follow(account, delivery.answer).output
    assert (output["source"], output["detail"]["id"]) == ("shop", 7)
    assert output["time"].endswith("Z")


def test_what_does_not_match_or_is_disabled_reaches_nobody(account: EmulatedAccount) -> None:
    arn = machine(account, {"A": {"Type": "Pass", "End": True}})
    rule(account, {"Arn": arn})
    put(account, source="another")
    rule(account, {"Arn": arn}, State="DISABLED")
    put(account)
    assert account.events.deliveries == []


def test_a_function_is_called_and_its_failure_goes_to_the_dead_letter_queue(account: EmulatedAccount) -> None:
    arn = function(account, "def handler(event, context):\n    raise KeyError(event['detail']['id'])\n")
    sqs = account.client("sqs")
    url = sqs.create_queue(QueueName="dead")["QueueUrl"]
    rule(account, {"Arn": arn, "DeadLetterConfig": {"Arn": "arn:aws:sqs:us-east-1:123456789012:dead"}})
    put(account)
    [delivery] = account.events.deliveries
    assert delivery.error == "LocalRunError: KeyError: 7"
    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    assert json.loads(message["Body"])["detail"]["id"] == 7


def test_an_unknown_kind_of_target_is_written_down_as_an_error(account: EmulatedAccount) -> None:
    rule(account, {"Arn": "arn:aws:kinesis:us-east-1:123456789012:stream/s"})
    put(account)
    assert "delivers no events to arn:aws:kinesis" in str(account.events.deliveries[0].error)


def test_a_schedule_fires_only_when_it_is_told_to(account: EmulatedAccount) -> None:
    arn = function(account, "def handler(event, context):\n    return event\n")
    rule(account, {"Arn": arn, "Input": '{"window": 1}'}, ScheduleExpression="rate(1 day)")
    put(account)
    assert account.events.deliveries == []
    [delivery] = account.events.fire_schedule("rule")
    assert delivery.answer == {"window": 1}
    with pytest.raises(LocalRunError, match="no scheduled rule 'other': there are rule"):
        account.events.fire_schedule("other")


def packages(account: EmulatedAccount, **detail: Any) -> Any:
    """The client of a registry with a group, whose events a rule with this detail hands on."""
    sagemaker = account.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="group")
    pattern = {"source": ["aws.sagemaker"], "detail": {"ModelPackageGroupName": ["group"], **detail}}
    target = machine(account, {"A": {"Type": "Pass", "End": True}})
    rule(account, {"Arn": target}, EventPattern=json.dumps(pattern))
    return sagemaker


UPDATES = {
    "approval": ({"ModelApprovalStatus": "Rejected"}, ["ModelApprovalStatus"], "Rejected"),
    "description": ({"ApprovalDescription": "checked"}, ["ApprovalDescription"], "Approved"),
    "metadata": ({"CustomerMetadataProperties": {"a": "b"}}, ["CustomerMetadataProperties"], "Approved"),
    "removal": ({"CustomerMetadataPropertiesToRemove": ["a"]}, ["CustomerMetadataProperties"], "Approved"),
    "life cycle": ({"ModelLifeCycle": {"Stage": "a", "StageStatus": "b"}}, ["ModelLifeCycle"], "Approved"),
    "source": ({"SourceUri": "s3://bucket/model"}, ["sourceUri"], "Approved"),
    "two": (
        {"ModelApprovalStatus": "Rejected", "ApprovalDescription": "too slow"},
        ["ModelApprovalStatus", "ApprovalDescription"],
        "Rejected",
    ),
}


@pytest.mark.parametrize(("update", "fields", "status"), UPDATES.values(), ids=list(UPDATES))
def test_every_update_of_a_version_is_an_event_that_names_its_fields(
    account: EmulatedAccount, update: dict[str, Any], fields: list[str], status: str
) -> None:
    sagemaker = packages(account)
    request = {"ModelApprovalStatus": "Approved", "CustomerMetadataProperties": {"a": "a"}}
    created = sagemaker.create_model_package(ModelPackageGroupName="group", **request)
    sagemaker.update_model_package(ModelPackageArn=created["ModelPackageArn"], **update)
    registered, updated = (delivery.content for delivery in account.events.deliveries)
    assert registered["detail-type"] == updated["detail-type"] == "SageMaker Model Package State Change"
    assert registered["detail"]["ModelApprovalStatus"] == "Approved"
    assert registered["detail"]["ModelPackageVersion"] == 1
    assert "UpdatedModelPackageFields" not in registered["detail"]
    assert sorted(updated["detail"]["UpdatedModelPackageFields"]) == sorted(fields)
    assert updated["detail"]["ModelApprovalStatus"] == status


def test_a_rule_may_ask_for_a_field_or_for_none(account: EmulatedAccount) -> None:
    sagemaker = packages(account, UpdatedModelPackageFields=[{"exists": False}, "ModelApprovalStatus"])
    created = sagemaker.create_model_package(ModelPackageGroupName="group", ModelApprovalStatus="Approved")
    arn = created["ModelPackageArn"]
    sagemaker.update_model_package(ModelPackageArn=arn, CustomerMetadataProperties={"a": "b"})
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Rejected", ApprovalDescription="slow")
    said = [delivery.content["detail"] for delivery in account.events.deliveries]
    assert [detail["ModelApprovalStatus"] for detail in said] == ["Approved", "Rejected"]
    assert "UpdatedModelPackageFields" not in said[0]


def test_what_happened_in_an_earlier_account_is_no_event(account: EmulatedAccount) -> None:
    sagemaker = packages(account)
    with account.events.quiet():
        sagemaker.create_model_package(ModelPackageGroupName="group", ModelApprovalStatus="Approved")
    assert account.events.deliveries == []


def test_an_object_in_a_bucket_with_notifications_is_an_event(account: EmulatedAccount) -> None:
    template = {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "inbox"}},
            "On": {
                "Type": "Custom::S3BucketNotifications",
                "Properties": {
                    "BucketName": {"Ref": "Bucket"},
                    "NotificationConfiguration": {"EventBridgeConfiguration": {}},
                },
            },
        }
    }
    account.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(template))
    target = machine(account, {"A": {"Type": "Pass", "End": True}})
    rule(account, {"Arn": target}, EventPattern=json.dumps({"detail-type": ["Object Created"]}))
    account.client("s3").put_object(Bucket="inbox", Key="cat.jpg", Body=b"x")
    [delivery] = account.events.deliveries
    assert delivery.content["detail"]["object"]["key"] == "cat.jpg"


@pytest.mark.parametrize(
    ("path", "value"),
    [("$.detail.id", 7), ("$.detail.tags[1]", "y"), ("$.detail-type", "Order"), ("$.none.at.all", None), ("$", EVENT)],
)
def test_paths_of_an_event(path: str, value: Any) -> None:
    assert find(EVENT, path) == value


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ('{"n": <id>, "t": "<name>!", "l": <tags>}', {"n": 7, "t": 'a "b"!', "l": ["x", "y"]}),
        ('{"n": <missing>, "t": "<missing>"}', {"n": None, "t": ""}),
        ('"order <id> of <name>"', 'order 7 of a "b"'),
        ("order <id>", "order 7"),
        ('{"t": "<unknown>"}', {"t": "<unknown>"}),
    ],
)
def test_templates_are_filled_in(template: str, filled: Any) -> None:
    detail: dict[str, Any] = EVENT["detail"]  # type: ignore[assignment]
    assert fill(template, {**detail, "missing": None}) == filled


def test_the_forms_of_a_targets_input() -> None:
    def given(target: dict[str, Any]) -> Any:
        return target_input(target, EVENT, rule_name="rule", rule_arn="arn")

    assert given({}) == EVENT
    assert given({"Input": "[1]"}) == [1]
    assert given({"InputPath": "$.detail.tags"}) == ["x", "y"]
    template = {"InputPathsMap": {"n": "$.detail.id"}, "InputTemplate": '{"n": <n>, "r": <aws.events.rule-name>}'}
    assert given({"InputTransformer": template}) == {"n": 7, "r": "rule"}
