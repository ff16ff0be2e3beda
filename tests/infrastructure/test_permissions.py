"""What the roles may do: no managed policies, no wildcard without its reason, and nothing that IAM would not match."""

from __future__ import annotations

import json
import re

import pytest
from cloudformation import resolve, resources
from parliament import analyze_policy_string

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


def _listed(value):
    return [value] if isinstance(value, str) else value


@pytest.fixture
def execution(stack):
    """Sid -> statement of the execution role."""
    (policy,) = [policy for name, policy in _policies(stack).items() if name.startswith("ExecutionRole")]
    return {statement["Sid"]: statement for statement in policy["Statement"]}


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
    assert not [action for statement in _statements(stack) for action in _listed(statement["Action"]) if "*" in action]


def test_star_resources_are_only_where_iam_knows_no_other(stack):
    stars = {
        action
        for statement in _statements(stack)
        if "*" in _listed(statement["Resource"])
        for action in _listed(statement["Action"])
    }
    assert stars == NEEDS_STAR


def test_trust_is_limited_to_the_account(stack):
    (statement,) = _execution_role(stack)["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_pass_role_only_to_itself_for_sagemaker(execution, stack):
    passing = [statement for statement in _statements(stack) if "iam:PassRole" in _listed(statement["Action"])]
    assert passing == [execution["PassItselfToJobs"]]
    (role,) = [name for name in resources(stack, "AWS::IAM::Role") if name.startswith("ExecutionRole")]
    assert passing[0]["Resource"] == f"arn:aws:iam::123456789012:role/{role}"
    assert passing[0]["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_s3_by_bucket_and_prefix(execution, environment):
    bucket = f"arn:aws:s3:::imgpipe-{environment}-{{}}-123456789012-us-east-1"
    data, artifacts = bucket.format("data"), bucket.format("artifacts")
    assert execution["ReadImages"]["Action"] == "s3:GetObject"
    assert execution["ReadImages"]["Resource"] == f"{data}/datasets/*"
    assert execution["ReadAndWriteArtifacts"]["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert execution["ReadAndWriteArtifacts"]["Resource"] == [f"{artifacts}/executions/*", f"{artifacts}/models/*"]
    for sid in ("ListImages", "ListArtifacts"):
        assert "s3:prefix" in execution[sid]["Condition"]["StringLikeIfExists"]
    s3 = {action for statement in execution.values() for action in _listed(statement["Action"]) if action[:3] == "s3:"}
    assert s3 == {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}


def test_jobs_only_under_the_names_that_pipelines_give(execution):
    assert execution["RunJobs"]["Resource"] == [
        "arn:aws:sagemaker:us-east-1:123456789012:processing-job/pipelines-*",
        "arn:aws:sagemaker:us-east-1:123456789012:training-job/pipelines-*",
    ]


def test_models_only_into_the_own_group(execution, environment):
    sagemaker = "arn:aws:sagemaker:us-east-1:123456789012"
    assert execution["RegisterModels"]["Resource"] == [
        f"{sagemaker}:model-package-group/imgpipe-{environment}",
        f"{sagemaker}:model-package/imgpipe-{environment}/*",
    ]
    assert "sagemaker:UpdateModelPackage" not in json.dumps(execution), "the pipeline must not approve its own models"


def test_metrics_only_in_the_namespaces_of_jobs(execution):
    assert execution["PublishJobMetrics"]["Condition"] == {
        "StringEquals": {"cloudwatch:namespace": ["/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs"]}
    }


def test_images_only_from_the_repositories_in_the_definition(execution, stack):
    (pipeline,) = resources(stack, "AWS::SageMaker::Pipeline").values()
    definition = resolve(pipeline["Properties"]["PipelineDefinition"]["PipelineDefinitionBody"], stack)
    images = set(re.findall(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([a-z0-9._/-]+)", definition))
    arns = {f"arn:aws:ecr:{region}:{account}:repository/{name}" for account, region, name in images}
    assert set(execution["PullImages"]["Resource"]) == arns
    assert len(arns) == 2


def test_resolve_is_the_only_function_that_may_be_invoked(execution, environment):
    assert execution["InvokeResolve"]["Resource"] == (
        f"arn:aws:lambda:us-east-1:123456789012:function:imgpipe-{environment}-resolve"
    )


def test_resolve_may_list_images_and_log(stack):
    (policy,) = [policy for name, policy in _policies(stack).items() if name.startswith("Resolve")]
    actions = {action for statement in policy["Statement"] for action in _listed(statement["Action"])}
    assert actions == {"s3:ListBucket", "logs:CreateLogStream", "logs:PutLogEvents"}


def test_purge_reaches_only_its_group_and_stack(template):
    (policy,) = [policy for name, policy in _policies(template("dev", "training")).items() if "Purge" in name]
    allowed = {
        action: statement["Resource"] for statement in policy["Statement"] for action in _listed(statement["Action"])
    }
    assert (
        allowed["sagemaker:DeleteModelPackage"]
        == "arn:aws:sagemaker:us-east-1:123456789012:model-package/imgpipe-dev/*"
    )
    assert allowed["cloudformation:DescribeStacks"].startswith("arn:aws:cloudformation:")


def test_iam_knows_every_action_with_its_resources_and_conditions(stack):
    for name, policy in _policies(stack).items():
        findings = [
            finding
            for finding in analyze_policy_string(json.dumps(policy)).findings
            # Privilege escalation needs PassRole to another role; the test above shows there is none.
            if finding.issue not in ("PRIVILEGE_ESCALATION",)
        ]
        assert not findings, (name, [str(finding) for finding in findings])
