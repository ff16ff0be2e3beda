"""Settings that no environment file uses, and still have to reach the templates."""

from __future__ import annotations

import fnmatch
import json
import re

import pytest
from aws_cdk import assertions
from cloudformation import resolve, resources

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


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """The training stack of dev with five packing instances and a group expression full of special characters."""
    preprocess = {"instance_count": 5, "group_by": r'^[^"\\/]+/(\d{5})_[$]{1}&<\.png$', "image_size": 64}
    pipeline = load_environment("dev").pipeline.model_dump() | {"preprocess": preprocess}
    templates, _ = _templates(tmp_path_factory.mktemp("sharded"), pipeline=pipeline)
    return templates["training"]


def _definition(stack):
    [pipeline] = resources(stack, "AWS::SageMaker::Pipeline").values()
    return json.loads(resolve(pipeline["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"], stack))


def test_shards_and_merge_reach_the_template(sharded):
    definition = _definition(sharded)
    steps = {step["Name"]: step for step in definition["Steps"]}
    assert list(steps)[:3] == ["Resolve", "Pack", "Preprocess"]
    resources_of_pack = steps["Pack"]["Arguments"]["ProcessingResources"]["ClusterConfig"]
    assert resources_of_pack["InstanceCount"] == 5
    [group_by] = [item["DefaultValue"] for item in definition["Parameters"] if item["Name"] == "GroupBy"]
    assert group_by == r'^[^"\\/]+/(\d{5})_[$]{1}&<\.png$'
    assert re.compile(group_by)


def test_the_role_may_read_and_write_all_that_the_steps_exchange(sharded):
    """The pool of the shards included; an output is a Join of a prefix, the execution's id and names."""
    [policy] = [
        resolve(body["Properties"]["PolicyDocument"], sharded)
        for name, body in resources(sharded, "AWS::IAM::Policy").items()
        if name.startswith("ExecutionRole")
    ]
    statements = {statement["Sid"]: statement for statement in policy["Statement"]}
    allowed = statements["ReadAndWriteArtifacts"]["Resource"]
    listed = statements["ListArtifacts"]["Condition"]["StringLikeIfExists"]["s3:prefix"]
    joins = [
        output["S3Output"]["S3Uri"]["Std:Join"]["Values"]
        for step in _definition(sharded)["Steps"]
        for output in step["Arguments"].get("ProcessingOutputConfig", {}).get("Outputs", [])
    ]
    uris = ["/".join("abc123def456" if isinstance(part, dict) else part for part in join) for join in joins]
    assert any(uri.endswith("/abc123def456/preprocess/pool") for uri in uris)
    for uri in uris:
        arn = uri.replace("s3://", "arn:aws:s3:::") + "/algo-1/index"
        assert any(fnmatch.fnmatchcase(arn, pattern) for pattern in allowed), uri
        prefix = uri.split("/", 3)[3]
        assert any(fnmatch.fnmatchcase(prefix, pattern) for pattern in listed), uri


def test_shards_need_no_permission_of_their_own(sharded, template):
    def statements(stack):
        return {
            name: resolve(body["Properties"]["PolicyDocument"], stack)
            for name, body in resources(stack, "AWS::IAM::Policy").items()
        }

    assert statements(sharded) == statements(template("dev", "training"))
