"""Pipelines, model package group, functions, images and outputs of the training stack."""

from __future__ import annotations

import json

import pytest
from cloudformation import definitions, pipelines, resolve, resources

from infra.environments import load_environment
from infra.settings import EnvironmentSettings
from pipeline_def import placeholders
from pipeline_def.settings import PIPELINES


@pytest.fixture
def stack(template, environment):
    return template(environment, "training")


def _only(stack, kind):
    (found,) = resources(stack, kind).items()
    return found


@pytest.fixture(params=PIPELINES)
def pipeline(request) -> str:
    """Every pipeline in turn."""
    return request.param


def _sub(stack, pipeline):
    return pipelines(stack)[pipeline]["PipelineDefinition"]["PipelineDefinitionBody"]["Fn::Sub"]


def test_every_pipeline_is_there(stack):
    assert set(pipelines(stack)) == set(PIPELINES)


def test_placeholders_are_what_is_substituted(stack, pipeline):
    text, values = _sub(stack, pipeline)
    assert placeholders.find(text) == set(values)


def test_every_placeholder_is_of_use(stack):
    used = set().union(*(_sub(stack, pipeline)[1] for pipeline in PIPELINES))
    assert used == placeholders.NAMES - {placeholders.MXNET_GPU_IMAGE_URI}


def test_functions_are_called_where_they_belong(stack):
    functions = {
        placeholders.CHECK_BASE_FUNCTION_ARN,
        placeholders.LIST_TRIALS_FUNCTION_ARN,
        placeholders.PLAN_TRANSFORM_FUNCTION_ARN,
    }
    assert {pipeline: functions & set(_sub(stack, pipeline)[1]) for pipeline in PIPELINES} == {
        "train": set(),
        "tune": {placeholders.LIST_TRIALS_FUNCTION_ARN},
        "retrain": {placeholders.CHECK_BASE_FUNCTION_ARN},
        "transform": {placeholders.PLAN_TRANSFORM_FUNCTION_ARN},
    }


def test_substituted_definition_parses_and_holds_the_values(stack, pipeline):
    text, values = _sub(stack, pipeline)
    definition = resolve({"Fn::Sub": [text, values]}, stack)
    parsed = json.loads(definition)
    assert "${" not in definition
    assert len(definition) <= placeholders.MAX_DEFINITION_CHARACTERS
    parameters = {parameter["Name"]: parameter for parameter in parsed["Parameters"]}
    place = resolve(stack["Outputs"]["BatchUri" if pipeline == "transform" else "DatasetUri"]["Value"], stack)
    assert parameters["InputDataUri"]["DefaultValue"].startswith(place)
    assert "arn:aws:lambda:us-east-1:123456789012:function:imgpipe" in definition


def test_lambda_steps_call_their_functions(stack, environment):
    called = {
        step["Name"]: step["FunctionArn"]
        for definition in definitions(stack).values()
        for step in definition["Steps"]
        if step["Type"] == "Lambda"
    }
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:imgpipe-{environment}-"
    assert called == {
        "Resolve": f"{arn}resolve",
        "CheckBase": f"{arn}check-base",
        "Trials": f"{arn}list-trials",
        "Plan": f"{arn}plan-transform",
    }


def test_values_need_no_escaping_inside_json(stack, pipeline):
    _, values = _sub(stack, pipeline)
    for name, value in values.items():
        text = resolve(value, stack)
        assert json.dumps(text) == f'"{text}"', name


def test_pipelines_have_fixed_names_descriptions_of_their_own_and_limited_parallelism(stack, environment):
    found = pipelines(stack)
    for pipeline, properties in found.items():
        name = f"imgpipe-{environment}-{pipeline}"
        assert (properties["PipelineName"], properties["PipelineDisplayName"]) == (name, name)
        assert properties["ParallelismConfiguration"] == {
            "MaxParallelExecutionSteps": load_environment(environment).max_parallel_steps
        }
    assert len({properties["PipelineDescription"] for properties in found.values()}) == len(PIPELINES)


def test_pipelines_are_created_after_their_role_may_run_them(stack):
    group_id, _ = _only(stack, "AWS::SageMaker::ModelPackageGroup")
    for pipeline in resources(stack, "AWS::SageMaker::Pipeline").values():
        role = pipeline["Properties"]["RoleArn"]["Fn::GetAtt"][0]
        policies = [
            name
            for name, body in resources(stack, "AWS::IAM::Policy").items()
            if {"Ref": role} in body["Properties"]["Roles"]
        ]
        assert policies
        assert {*policies, group_id} <= set(pipeline["DependsOn"])


def test_a_value_that_no_definition_uses_is_an_error(assembly):
    from infra.app import build_app

    settings: EnvironmentSettings = load_environment("dev")
    texts = dict.fromkeys(PIPELINES, "${ExecutionRoleArn}")
    with pytest.raises(ValueError, match=r"no definition uses the values \['ArtifactBucket', 'CheckBase"):
        build_app(settings, definitions=lambda: texts)


def test_resolve_knows_group_and_bucket(stack, environment):
    environments = {
        body["Properties"]["FunctionName"].removeprefix(f"imgpipe-{environment}-"): resolve(
            body["Properties"].get("Environment", {}).get("Variables", {}), stack
        )
        for body in resources(stack, "AWS::Lambda::Function").values()
    }
    assert environments.pop("resolve") == {
        "MODEL_PACKAGE_GROUP_NAME": f"imgpipe-{environment}",
        "ARTIFACT_BUCKET": f"imgpipe-{environment}-artifacts-123456789012-us-east-1",
    }
    assert environments.pop("plan-transform") == {"MODEL_PACKAGE_GROUP_NAME": f"imgpipe-{environment}"}
    assert not any(environments.values())


def test_outputs_are_what_the_command_line_reads(stack, environment):
    outputs = {name: resolve(body["Value"], stack) for name, body in stack["Outputs"].items()}
    assert outputs.pop("ExecutionRoleArn").startswith("arn:aws:iam::123456789012:role/")
    assert outputs == {
        "TrainPipelineName": f"imgpipe-{environment}-train",
        "TunePipelineName": f"imgpipe-{environment}-tune",
        "RetrainPipelineName": f"imgpipe-{environment}-retrain",
        "TransformPipelineName": f"imgpipe-{environment}-transform",
        "DataBucketName": f"imgpipe-{environment}-data-123456789012-us-east-1",
        "ArtifactBucketName": f"imgpipe-{environment}-artifacts-123456789012-us-east-1",
        "ModelPackageGroupName": f"imgpipe-{environment}",
        "DatasetUri": f"s3://imgpipe-{environment}-data-123456789012-us-east-1/datasets/main/",
        "BatchUri": f"s3://imgpipe-{environment}-data-123456789012-us-east-1/datasets/batch/",
    }
    assert not any("Export" in body for body in stack["Outputs"].values())


def test_dev_deletes_pipelines_then_versions_then_group(template):
    stack = template("dev", "training")
    group_id, group = _only(stack, "AWS::SageMaker::ModelPackageGroup")
    versions_id, versions = _only(stack, "Custom::ModelPackageVersions")
    assert group.get("DeletionPolicy", "Delete") == "Delete"
    # CloudFormation deletes in the reverse of the order of dependencies.
    assert group_id in versions["DependsOn"]
    for pipeline in resources(stack, "AWS::SageMaker::Pipeline").values():
        assert {group_id, versions_id} <= set(pipeline["DependsOn"])
    assert versions["Properties"]["ModelPackageGroupName"] == group["Properties"]["ModelPackageGroupName"]


def test_dev_purge_keeps_its_permissions_until_it_has_run(template):
    stack = template("dev", "training")
    _, versions = _only(stack, "Custom::ModelPackageVersions")
    function = stack["Resources"][versions["Properties"]["ServiceToken"]["Fn::GetAtt"][0]]
    role = function["Properties"]["Role"]["Fn::GetAtt"][0]
    (policy,) = [
        name
        for name, body in resources(stack, "AWS::IAM::Policy").items()
        if {"Ref": role} in body["Properties"]["Roles"]
    ]
    assert {role, policy} <= set(function["DependsOn"])
    assert int(versions["Properties"]["ServiceTimeout"]) > function["Properties"]["Timeout"]


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_staging_and_prod_keep_the_group(template, environment):
    stack = template(environment, "training")
    _, group = _only(stack, "AWS::SageMaker::ModelPackageGroup")
    assert (group["DeletionPolicy"], group["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert group["Properties"]["ModelPackageGroupName"] == f"imgpipe-{environment}"
    assert not resources(stack, "Custom::ModelPackageVersions")


def test_functions_are_small_recent_and_log_for_a_limited_time(stack, environment):
    groups = resources(stack, "AWS::Logs::LogGroup")
    functions = resources(stack, "AWS::Lambda::Function")
    assert functions
    for function in functions.values():
        properties = function["Properties"]
        assert properties["Runtime"] == "python3.14"
        assert properties["Architectures"] == ["arm64"]
        assert "VpcConfig" not in properties
        log_group = groups[properties["LoggingConfig"]["LogGroup"]["Ref"]]
        assert log_group["Properties"]["RetentionInDays"] == load_environment(environment).log_retention_days
        assert log_group["Properties"]["LogGroupName"] == f"/aws/lambda/{properties['FunctionName']}"


def test_three_images_are_built_for_amd64_from_processing(assembly, environment):
    assets = json.loads((assembly(environment) / f"imgpipe-{environment}-training.assets.json").read_text())
    sources = [image["source"] for image in assets["dockerImages"].values()]
    assert {source["dockerFile"] for source in sources} == {
        "containers/imaging/Dockerfile",
        "containers/mxnet/Dockerfile",
        "containers/serve/Dockerfile",
    }
    assert {source["platform"] for source in sources} == {"linux/amd64"}


def test_images_hold_just_their_folders(assembly):
    outdir = assembly("dev")
    assets = json.loads((outdir / "imgpipe-dev-training.assets.json").read_text())
    own = {
        "imaging": {"preprocess", "monitor", "join"},
        "mxnet": {"train", "evaluate", "package"},
        "serve": {"preprocess", "serve"},
    }
    for image in assets["dockerImages"].values():
        context = outdir / image["source"]["directory"]
        folders = {path.name for path in context.iterdir() if path.is_dir()}
        assert folders == {"containers", "common"} | own[image["source"]["dockerFile"].split("/")[1]]
        assert not list(context.rglob("__pycache__"))


def test_stacks_are_protected_where_data_is_kept(assembly, environment):
    manifest = json.loads((assembly(environment) / "manifest.json").read_text())
    stacks = {
        name: body["properties"]
        for name, body in manifest["artifacts"].items()
        if body["type"] == "aws:cloudformation:stack"
    }
    names = ("dataset", "training", "serving", "classification", "monitoring")
    assert set(stacks) == {f"imgpipe-{environment}-{name}" for name in names}
    kept = load_environment(environment).retain_on_destroy
    assert {properties.get("terminationProtection", False) for properties in stacks.values()} == {kept}
    training = manifest["artifacts"][f"imgpipe-{environment}-training"]
    assert f"imgpipe-{environment}-dataset" in training["dependencies"]


def test_everything_taggable_is_tagged(stack, environment):
    for kind in ("AWS::SageMaker::Pipeline", "AWS::SageMaker::ModelPackageGroup", "AWS::IAM::Role"):
        for body in resources(stack, kind).values():
            tags = {tag["Key"]: tag["Value"] for tag in body["Properties"]["Tags"]}
            assert tags == {"environment": environment, "project": "imgpipe"}
