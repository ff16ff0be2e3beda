"""Settings that no environment file uses, and still have to reach the templates."""

from __future__ import annotations

import json
import re

import pytest
from aws_cdk import assertions
from cloudformation import (
    definitions,
    iam_findings,
    image_repositories,
    listed,
    output_uris,
    outputs_out_of_reach,
    pipelines,
    resolve,
    resources,
    statements,
)

from infra.environments import load_environment
from infra.settings import EnvironmentSettings
from pipeline_def import placeholders
from pipeline_def.settings import REGISTERING_PIPELINES


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
    assert roles
    for role in roles:
        assert role["Properties"]["PermissionsBoundary"] == rendered


def test_account_project_and_tags_reach_the_templates(tmp_path):
    templates, assembly = _templates(tmp_path, account="210987654321", project="flora", tags={"cost-centre": "42"})
    assert {"flora-dev-dataset", "flora-dev-training", "flora-dev-serving"} <= {
        stack.stack_name for stack in assembly.stacks
    }
    assert all(stack.stack_name.startswith("flora-dev-") for stack in assembly.stacks)
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
    found = definitions(templates["training"])
    for pipeline in REGISTERING_PIPELINES:
        assert "/image-classification:1" in json.dumps(found[pipeline])


def _training_stack(folder, **sections):
    """The training stack of dev with parts of sections of its pipeline settings changed."""
    pipeline = load_environment("dev").pipeline.model_dump(mode="json")
    for name, changes in sections.items():
        pipeline[name] = pipeline[name] | changes if isinstance(changes, dict) else changes
    return _templates(folder, pipeline=pipeline)[0]["training"]


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    """Five packing instances and a group expression full of special characters."""
    preprocess = {"instance_count": 5, "group_by": r'^[^"\\/]+/(\d{5})_[$]{1}&<\.png$', "image_size": 64}
    return _training_stack(tmp_path_factory.mktemp("sharded"), preprocess=preprocess)


@pytest.mark.parametrize("pipeline", REGISTERING_PIPELINES)
def test_shards_and_merge_reach_the_template(sharded, pipeline):
    definition = definitions(sharded)[pipeline]
    steps = {step["Name"]: step for step in definition["Steps"]}
    assert list(steps)[:3] == ["Resolve", "Pack", "Preprocess"]
    resources_of_pack = steps["Pack"]["Arguments"]["ProcessingResources"]["ClusterConfig"]
    assert resources_of_pack["InstanceCount"] == 5
    [group_by] = [item["DefaultValue"] for item in definition["Parameters"] if item["Name"] == "GroupBy"]
    assert group_by == r'^[^"\\/]+/(\d{5})_[$]{1}&<\.png$'
    assert re.compile(group_by)


def _policies(stack):
    return {
        name: resolve(body["Properties"]["PolicyDocument"], stack)
        for name, body in resources(stack, "AWS::IAM::Policy").items()
    }


def test_shards_need_no_permission_of_their_own(sharded, template):
    uris = [uri for definition in definitions(sharded).values() for uri in output_uris(definition)]
    assert any(uri.endswith("/abcdef123456/preprocess/pool") for uri in uris)
    assert not outputs_out_of_reach(sharded)
    assert _policies(sharded) == _policies(template("dev", "training"))


def _check_iam_accepts(stack) -> None:
    for name, policy in _policies(stack).items():
        assert not iam_findings(policy), name


def test_without_experiments_the_role_may_not_create_any(tmp_path):
    stack = _training_stack(tmp_path, experiments=False)
    assert "xperiment" not in json.dumps(_policies(stack))
    assert all("PipelineExperimentConfig" not in definition for definition in definitions(stack).values())


MLFLOW = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-{}"


def test_a_tracking_server_may_be_logged_to(tmp_path):
    server = MLFLOW.format("tracking-server/vision")
    stack = _training_stack(tmp_path, tracking_server_arn=server)
    statement = statements(stack, "ExecutionRole")["LogToMlflow"]
    assert statement["Resource"] == server
    assert {"sagemaker-mlflow:CreateRun", "sagemaker-mlflow:LogMetric"} <= set(statement["Action"])
    assert not [action for action in statement["Action"] if "Delete" in action or "Model" in action]
    assert {action.split(":")[0] for action in statement["Action"]} == {"sagemaker-mlflow"}
    assert all(definition["MlflowConfig"]["MlflowResourceArn"] == server for definition in definitions(stack).values())
    _check_iam_accepts(stack)


def test_an_mlflow_app_asks_for_two_actions_more(tmp_path):
    app = MLFLOW.format("app/vision")
    stack = _training_stack(tmp_path, tracking_server_arn=app)
    statement = statements(stack, "ExecutionRole")["LogToMlflow"]
    assert statement["Resource"] == app
    assert {"sagemaker:CallMlflowAppApi", "sagemaker:DescribeMlflowApp", "sagemaker-mlflow:LogBatch"} <= set(
        statement["Action"]
    )


def test_the_profiler_writes_and_its_rules_run_with_what_the_role_has(tmp_path, template):
    stack = _training_stack(tmp_path, train={"profiler": {"enabled": True}})
    for pipeline in ("train", "retrain"):
        [train] = [step for step in definitions(stack)[pipeline]["Steps"] if step["Name"] == "Train"]
        assert train["Arguments"]["ProfilerConfig"]["S3OutputPath"]
        assert train["Arguments"]["ProfilerRuleConfigurations"]
    assert not outputs_out_of_reach(stack)
    repositories = set(statements(stack, "ExecutionRole")["PullImages"]["Resource"])
    assert repositories == image_repositories(stack)
    [rules] = repositories - image_repositories(template("dev", "training"))
    assert rules.endswith("repository/sagemaker-debugger-rules")
    _check_iam_accepts(stack)


def test_checkpoints_of_spot_training_lie_among_the_outputs(tmp_path):
    stack = _training_stack(tmp_path, train={"spot": True})
    [train] = [step for step in definitions(stack)["train"]["Steps"] if step["Name"] == "Train"]
    assert train["Arguments"]["CheckpointConfig"]["S3Uri"]["Std:Join"]
    assert not outputs_out_of_reach(stack)


def test_named_pretrained_weights_may_be_read_wherever_they_are(tmp_path):
    hyperparameters = load_environment("dev").pipeline.train.hyperparameters
    train = {"pretrained_model_uri": "s3://weights/flowers/model.tar.gz", "hyperparameters": hyperparameters}
    stack = _training_stack(tmp_path, train=train)
    execution = statements(stack, "ExecutionRole")
    assert execution["ReadPretrained"]["Resource"] == "arn:aws:s3:::weights/flowers/model.tar.gz"
    assert execution["ListPretrained"]["Resource"] == "arn:aws:s3:::weights"
    assert execution["ListPretrained"]["Condition"] == {"StringLikeIfExists": {"s3:prefix": "flowers/model.tar.gz"}}
    _check_iam_accepts(stack)


def test_a_gpu_gets_an_image_of_its_own(tmp_path):
    stack = _training_stack(tmp_path, train={"instance_type": "ml.g4dn.xlarge"})
    manifest = (tmp_path / "cdk.out" / "imgpipe-dev-training.assets.json").read_text()
    images = json.loads(manifest)["dockerImages"]
    targets = {
        (image["source"]["dockerFile"], image["source"].get("dockerBuildTarget")): tag for tag, image in images.items()
    }
    assert set(targets) == {
        ("containers/imaging/Dockerfile", None),
        ("containers/mxnet/Dockerfile", None),
        ("containers/mxnet/Dockerfile", "gpu"),
        ("containers/serve/Dockerfile", None),
    }
    tag = targets["containers/mxnet/Dockerfile", "gpu"]
    for pipeline, properties in pipelines(stack).items():
        _, values = properties["PipelineDefinition"]["PipelineDefinitionBody"]["Fn::Sub"]
        if pipeline not in REGISTERING_PIPELINES:
            continue
        assert placeholders.MXNET_GPU_IMAGE_URI in values, pipeline
        training = [step for step in definitions(stack)[pipeline]["Steps"] if step["Type"] in ("Training", "Tuning")]
        assert training
        for step in training:
            assert f":{tag}" in json.dumps(step["Arguments"]), "trained on the GPU image"
    assert set(listed(statements(stack, "ExecutionRole")["PullImages"]["Resource"])) == image_repositories(stack)
    _check_iam_accepts(stack)
