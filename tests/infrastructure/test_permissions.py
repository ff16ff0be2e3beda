"""What the roles may do: no managed policies, no wildcard without its reason, and nothing that IAM would not match."""

from __future__ import annotations

import fnmatch
import json

import pytest
from cloudformation import (
    definitions,
    iam_findings,
    image_repositories,
    listed,
    output_uris,
    outputs_out_of_reach,
    resolve,
    resources,
    statements,
)

from pipeline_def.settings import REGISTERING_PIPELINES

# The only actions in use that have no resource type; cdk-nag's acknowledgement on the role gives the reason.
NEEDS_STAR = {"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}


@pytest.fixture
def stack(template, environment):
    return template(environment, "training")


def _policies(stack):
    return {
        name: resolve(body["Properties"]["PolicyDocument"], stack)
        for name, body in resources(stack, "AWS::IAM::Policy").items()
    }


def _statements(stack):
    return [statement for policy in _policies(stack).values() for statement in policy["Statement"]]


@pytest.fixture
def execution(stack):
    """Sid -> statement of the execution role."""
    return statements(stack, "ExecutionRole")


def _execution_role(stack):
    (role,) = [body for name, body in resources(stack, "AWS::IAM::Role").items() if name.startswith("ExecutionRole")]
    return role["Properties"]


@pytest.mark.parametrize("kind", ["training", "dataset"])
def test_no_managed_full_access(template, environment, kind):
    text = json.dumps(template(environment, kind))
    assert "FullAccess" not in text
    for name, role in resources(template(environment, kind), "AWS::IAM::Role").items():
        # CDK's own bucket emptier logs through a managed policy; none of our roles has one.
        if not name.startswith("CustomS3AutoDeleteObjects"):
            assert "ManagedPolicyArns" not in role["Properties"], name


def test_no_action_is_a_wildcard(stack):
    assert not [action for statement in _statements(stack) for action in listed(statement["Action"]) if "*" in action]


def test_star_resources_are_only_where_iam_knows_no_other(stack):
    stars = {
        action
        for statement in _statements(stack)
        if "*" in listed(statement["Resource"])
        for action in listed(statement["Action"])
    }
    assert stars == NEEDS_STAR


def test_trust_is_limited_to_the_account(stack):
    (statement,) = _execution_role(stack)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_pass_role_only_to_itself_for_sagemaker(execution, stack):
    passing = [statement for statement in _statements(stack) if "iam:PassRole" in listed(statement["Action"])]
    assert passing == [execution["PassItselfToJobs"]]
    (role,) = [name for name in resources(stack, "AWS::IAM::Role") if name.startswith("ExecutionRole")]
    assert passing[0]["Resource"] == f"arn:aws:iam::123456789012:role/{role}"
    assert passing[0]["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_s3_by_bucket_and_prefix(execution, environment):
    bucket = f"arn:aws:s3:::imgpipe-{environment}-{{}}-123456789012-us-east-1"
    data, artifacts = bucket.format("data"), bucket.format("artifacts")
    assert execution["ReadInputs"]["Action"] == "s3:GetObject"
    assert execution["ReadInputs"]["Resource"] == [f"{data}/datasets/*", f"{data}/pretrained/*"]
    assert execution["ReadAndWriteArtifacts"]["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert execution["ReadAndWriteArtifacts"]["Resource"] == [f"{artifacts}/executions/*", f"{artifacts}/models/*"]
    for sid in ("ListInputs", "ListArtifacts"):
        assert "s3:prefix" in execution[sid]["Condition"]["StringLikeIfExists"]
    s3 = {action for statement in execution.values() for action in listed(statement["Action"]) if action[:3] == "s3:"}
    assert s3 == {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}


SAGEMAKER = "arn:aws:sagemaker:us-east-1:123456789012"


def test_jobs_only_under_the_names_that_pipelines_give(execution):
    assert execution["RunJobs"]["Resource"] == [
        f"{SAGEMAKER}:model/pipelines-*",
        f"{SAGEMAKER}:processing-job/pipelines-*",
        f"{SAGEMAKER}:training-job/pipelines-*",
        f"{SAGEMAKER}:transform-job/pipelines-*",
    ]


def _matches(statement: dict, arn: str) -> bool:
    return any(fnmatch.fnmatchcase(arn, pattern) for pattern in listed(statement["Resource"]))


@pytest.mark.parametrize(
    "name", ["abcdef123456-Tune-XyZ0123456", "abcdef123456-tune-xyz0123456", "pipelines-abc-Tune-x"]
)
def test_tuning_jobs_and_what_they_start(execution, name):
    tune = execution["TuneHyperparameters"]
    assert set(tune["Action"]) == {
        "sagemaker:CreateHyperParameterTuningJob",
        "sagemaker:DescribeHyperParameterTuningJob",
        "sagemaker:StopHyperParameterTuningJob",
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob",
        "sagemaker:AddTags",
    }
    assert _matches(tune, f"{SAGEMAKER}:hyper-parameter-tuning-job/{name}")
    assert not _matches(tune, f"{SAGEMAKER}:hyper-parameter-tuning-job/somebody-else")
    tagging = [execution["TagTunedTraining"], execution["RunJobs"]]
    assert any(_matches(statement, f"{SAGEMAKER}:training-job/{name}-001-0a1b2c3d") for statement in tagging)
    assert not any(_matches(statement, f"{SAGEMAKER}:training-job/somebody-else") for statement in tagging)


def test_the_tuning_step_has_the_name_that_the_patterns_hold(stack):
    (step,) = [step for step in definitions(stack)["tune"]["Steps"] if step["Type"] == "Tuning"]
    assert step["Name"] == "Tune"


def test_what_steps_exchange_the_role_may_read_and_write(stack):
    """Artifacts, checkpoints, profiler and tuning output included."""
    uris = [uri for definition in definitions(stack).values() for uri in output_uris(definition)]
    assert {"train", "tune", "package"} <= {uri.rsplit("/", 1)[1] for uri in uris}
    assert not outputs_out_of_reach(stack)


def test_models_only_into_the_own_group(execution, environment):
    assert execution["RegisterModels"]["Resource"] == [
        f"{SAGEMAKER}:model-package-group/imgpipe-{environment}",
        f"{SAGEMAKER}:model-package/imgpipe-{environment}/*",
    ]
    assert "sagemaker:UpdateModelPackage" not in json.dumps(execution), "the pipeline must not approve its own models"


def test_metrics_only_in_the_namespaces_of_jobs(execution):
    assert execution["PublishJobMetrics"]["Condition"] == {
        "StringEquals": {
            "cloudwatch:namespace": [f"/aws/sagemaker/{kind}Jobs" for kind in ("Processing", "Training", "Transform")]
        }
    }


def test_images_only_from_the_repositories_in_the_definitions(execution, stack, environment):
    assert set(listed(execution["PullImages"]["Resource"])) == image_repositories(stack)
    # Our own images lie in one; where the built-in image trains, that is the other.
    assert len(image_repositories(stack)) == (1 if environment == "dev" else 2)


def test_only_the_functions_of_the_steps_may_be_invoked(execution, environment):
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:imgpipe-{environment}"
    assert set(execution["InvokeFunctions"]["Resource"]) == {
        f"{arn}-resolve",
        f"{arn}-check-base",
        f"{arn}-list-trials",
        f"{arn}-plan-transform",
    }


def test_experiments_of_the_pipelines_names(execution, environment):
    assert set(execution["CreateExperiments"]["Resource"]) == {
        f"{SAGEMAKER}:experiment/imgpipe-{environment}-{pipeline}" for pipeline in REGISTERING_PIPELINES
    }
    assert _matches(execution["CreateTrials"], f"{SAGEMAKER}:experiment/imgpipe-{environment}-tune")
    assert _matches(execution["CreateTrials"], f"{SAGEMAKER}:experiment-trial/abcdef123456")
    for sid in ("RecordJobs", "RecordJobsInTrials"):
        for job in ("pipelines-abc-Train-x-aws-training-job", "abc-Tune-x-001-0a1b2c3d-aws-training-job"):
            assert _matches(execution[sid], f"{SAGEMAKER}:experiment-trial-component/{job}")
        assert not _matches(execution[sid], f"{SAGEMAKER}:experiment-trial-component/somebody-else")
    assert _matches(execution["RecordJobsInTrials"], f"{SAGEMAKER}:experiment-trial/abcdef123456")


def test_without_settings_for_it_nothing_is_logged_to_mlflow(stack):
    assert "mlflow" not in json.dumps(_policies(stack))


LOGGING = {"logs:CreateLogStream", "logs:PutLogEvents"}


def _allowed(stack, start: str) -> dict[str, list[str]]:
    """Action -> resources of a function's role, without its logging."""
    return {
        action: listed(statement["Resource"])
        for statement in statements(stack, start).values()
        for action in listed(statement["Action"])
        if action not in LOGGING
    }


def test_resolve_lists_images_finds_versions_and_writes_the_marker(stack, environment):
    bucket = f"arn:aws:s3:::imgpipe-{environment}-{{}}-123456789012-us-east-1"
    versions = [f"{SAGEMAKER}:model-package/imgpipe-{environment}/*"]
    assert _allowed(stack, "Resolve") == {
        "s3:ListBucket": [bucket.format("data")],
        "sagemaker:ListModelPackages": versions,
        "sagemaker:DescribeModelPackage": versions,
        "s3:PutObject": [f"{bucket.format('artifacts')}/models/no-champion/champion.json"],
    }
    assert statements(stack, "Resolve")["ListInput"]["Condition"] == {"StringLike": {"s3:prefix": "datasets/*"}}


def test_check_base_reads_models_and_data_sets(stack, environment):
    found = statements(stack, "CheckBase")
    assert {action for statement in found.values() for action in listed(statement["Action"])} == {
        "s3:GetObject",
        "s3:ListBucket",
        *LOGGING,
    }
    bucket = f"arn:aws:s3:::imgpipe-{environment}-{{}}-123456789012-us-east-1"
    for number, name, prefixes in ((1, "artifacts", ["executions", "models"]), (2, "data", ["datasets", "pretrained"])):
        arn = bucket.format(name)
        assert found[f"ReadModels{number}"]["Resource"] == [f"{arn}/{prefix}/*" for prefix in prefixes]
        assert found[f"ListModels{number}"]["Resource"] == arn
        assert found[f"ListModels{number}"]["Condition"] == {
            "StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes]}
        }


def test_list_trials_reads_tuning_jobs_and_writes_one_file(stack, environment, execution):
    allowed = _allowed(stack, "ListTrials")
    tuning = execution["TuneHyperparameters"]["Resource"]
    assert allowed == {
        "sagemaker:DescribeHyperParameterTuningJob": tuning,
        "sagemaker:ListTrainingJobsForHyperParameterTuningJob": tuning,
        "s3:PutObject": [
            f"arn:aws:s3:::imgpipe-{environment}-artifacts-123456789012-us-east-1/executions/*/trials.json"
        ],
    }


def test_plan_transform_lists_images_finds_versions_and_writes_its_plan(stack, environment):
    bucket = f"arn:aws:s3:::imgpipe-{environment}-{{}}-123456789012-us-east-1"
    versions = [f"{SAGEMAKER}:model-package/imgpipe-{environment}/*"]
    assert _allowed(stack, "PlanTransform") == {
        "s3:ListBucket": [bucket.format("data")],
        "sagemaker:ListModelPackages": versions,
        "sagemaker:DescribeModelPackage": versions,
        "s3:PutObject": [f"{bucket.format('artifacts')}/executions/*/plan/*"],
    }
    listing = statements(stack, "PlanTransform")["ListInput"]["Condition"]
    assert listing == {"StringLike": {"s3:prefix": ["datasets/*"]}}


def test_purge_reaches_only_its_group_and_stack(template):
    (policy,) = [policy for name, policy in _policies(template("dev", "training")).items() if "Purge" in name]
    allowed = {
        action: statement["Resource"] for statement in policy["Statement"] for action in listed(statement["Action"])
    }
    assert (
        allowed["sagemaker:DeleteModelPackage"]
        == "arn:aws:sagemaker:us-east-1:123456789012:model-package/imgpipe-dev/*"
    )
    assert allowed["cloudformation:DescribeStacks"].startswith("arn:aws:cloudformation:")


def test_iam_knows_every_action_with_its_resources_and_conditions(stack):
    for name, policy in _policies(stack).items():
        assert not iam_findings(policy), name
