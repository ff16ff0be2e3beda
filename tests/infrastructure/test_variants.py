"""Settings that no environment file uses, and still have to reach the templates."""

from __future__ import annotations

import json

import pytest
from aws_cdk import assertions
from cloudformation import resources

from infra.environments import load_environment
from infra.settings import EnvironmentSettings


def _templates(tmp_path, **changes):
    """Templates of dev with some settings changed."""
    from infra.app import build_app

    values = load_environment("dev").model_dump() | changes
    settings = EnvironmentSettings.model_validate(values)
    app = build_app(settings, outdir=tmp_path / "cdk.out")
    assembly = app.synth()
    return {stack.stack_name.rsplit("-", 1)[1]: stack.template for stack in assembly.stacks}, assembly


@pytest.mark.parametrize(
    ("boundary", "rendered"),
    [
        ("arn:aws:iam::123456789012:policy/Bound", "arn:aws:iam::123456789012:policy/Bound"),
        ("Bound", {"Fn::Join": ["", ["arn:aws:iam::", {"Ref": "AWS::AccountId"}, ":policy/Bound"]]}),
    ],
)
def test_permissions_boundary_is_on_every_role(tmp_path, boundary, rendered):
    templates, _ = _templates(tmp_path, permissions_boundary=boundary)
    roles = [role for template in templates.values() for role in resources(template, "AWS::IAM::Role").values()]
    assert len(roles) == 4
    for role in roles:
        assert role["Properties"]["PermissionsBoundary"] == rendered


def test_account_project_and_tags_reach_the_templates(tmp_path):
    templates, assembly = _templates(tmp_path, account="210987654321", project="flora", tags={"cost-centre": "42"})
    assert {stack.stack_name for stack in assembly.stacks} == {"flora-dev-dataset", "flora-dev-training"}
    assert {stack.environment.account for stack in assembly.stacks} == {"210987654321"}
    dataset = assertions.Template.from_json(templates["dataset"])
    dataset.has_resource_properties(
        "AWS::S3::Bucket",
        {
            "BucketName": "flora-dev-data-210987654321-us-east-1",
            "Tags": assertions.Match.array_with([{"Key": "cost-centre", "Value": "42"}]),
        },
    )


def test_either_trainer_synthesises(tmp_path):
    assert load_environment("dev").pipeline.train.image == "own"
    templates, _ = _templates(tmp_path, pipeline=load_environment("prod").pipeline, execution_expiry_days=90)
    [pipeline] = resources(templates["training"], "AWS::SageMaker::Pipeline").values()
    assert "/image-classification:1" in json.dumps(pipeline)
