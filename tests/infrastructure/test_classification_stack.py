"""The classification stack: functions and their layer, results, queues, machines, and what each may do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from aws_cdk import App
from cloudformation import iam_findings, listed, resolve, resources, statements

from infra import layers
from infra.environments import ROOT, load_environment
from infra.errors import InfraError
from infra.settings import EnvironmentSettings

LAMBDA = "arn:aws:lambda:us-east-1:123456789012:function:imgpipe-{}-{}"
TRACING = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
LOGGING = {"logs:CreateLogStream", "logs:PutLogEvents"}
DELIVERY = {
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    *TRACING,
}
# The reference lists executions of Express machines as a further resource of DescribeExecution; the items of the map
# are executions of a Standard one, which "IAM policies for using Distributed Map states" names alone.
EXPRESS = ("RESOURCE_MISMATCH", "states:DescribeExecution", ":express:")


def _alone(folder: Path, **classification: object) -> tuple[dict, dict]:
    """Templates of data set and classification of dev, with some settings changed, without the other stacks."""
    from infra.classification_stack import ClassificationStack
    from infra.dataset_stack import DatasetStack

    values = load_environment("dev").model_dump() | {"classification": classification}
    settings = EnvironmentSettings.model_validate(values)
    flags = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(outdir=str(folder / "cdk.out"), context=flags, analytics_reporting=False)
    dataset = DatasetStack(app, "dataset", settings=settings)
    ClassificationStack(
        app,
        "classification",
        settings=settings,
        data_bucket=dataset.data_bucket.name,
        artifact_bucket=dataset.artifact_bucket.name,
        processing=ROOT / "processing",
    )
    assembly = app.synth()
    return assembly.get_stack_by_name("dataset").template, assembly.get_stack_by_name("classification").template


@pytest.fixture
def stack(template, environment):
    return template(environment, "classification")


def _functions(stack) -> dict[str, dict]:
    return {
        body["Properties"]["FunctionName"].rsplit("-", 1)[1]: body["Properties"]
        for body in resources(stack, "AWS::Lambda::Function").values()
    }


def _allowed(stack, start: str, *, without: set[str]) -> dict[str, list[str]]:
    return {
        action: listed(statement["Resource"])
        for statement in statements(stack, start).values()
        for action in listed(statement["Action"])
        if action not in without
    }


def test_three_functions_one_layer_and_no_endpoint_written_down(stack, environment):
    functions = _functions(stack)
    assert set(functions) == {"serialize", "classify", "filter"}
    [layer] = resources(stack, "AWS::Lambda::LayerVersion")
    endpoint = load_environment(environment).endpoint_name
    for name, properties in functions.items():
        assert properties["Handler"] == f"{name}.handler.handler"
        assert properties["Layers"] == [{"Ref": layer}]
        assert properties["TracingConfig"] == {"Mode": "Active"}
        assert properties["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == f"imgpipe-{environment}"
        assert properties["Environment"]["Variables"].get("ENDPOINT_NAME", endpoint) == endpoint


def test_each_function_ships_its_own_folder(assembly, environment):
    outdir = assembly(environment)
    assets = json.loads((outdir / f"imgpipe-{environment}-classification.assets.json").read_text())
    shipped = {}
    for asset in assets["files"].values():
        folder = outdir / asset["source"]["path"]
        if folder.is_dir():
            files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
            shipped[min(files).split("/")[0]] = files
    assert shipped["serialize"] == {"serialize/handler.py", "serialize/image.py", "serialize/request.py"}
    assert (shipped["classify"], shipped["filter"]) == ({"classify/handler.py"}, {"filter/handler.py"})


def test_the_payload_limit_leaves_room_below_the_endpoints(stack, environment):
    limit = int(_functions(stack)["serialize"]["Environment"]["Variables"]["MAX_PAYLOAD_BYTES"])
    most = load_environment(environment).serving.payload_limit_mb * 1_000_000
    assert most * 0.9 < limit < most


def test_the_layers_key_follows_from_the_requirements_alone(stack, tmp_path):
    [layer] = resources(stack, "AWS::Lambda::LayerVersion").values()
    [other] = resources(_alone(tmp_path)[1], "AWS::Lambda::LayerVersion").values()
    assert layer["Properties"]["Content"] == other["Properties"]["Content"]
    assert layer["Properties"]["CompatibleArchitectures"] == ["arm64"]


def _layer_of(folder: Path) -> tuple[str, bool]:
    """The asset that the layer is made of, and whether the assembly warns of it."""
    [layer] = resources(_alone(folder)[1], "AWS::Lambda::LayerVersion").values()
    manifest = (folder / "cdk.out" / "manifest.json").read_text() + "".join(
        path.read_text() for path in (folder / "cdk.out").glob("*.metadata.json")
    )
    return layer["Properties"]["Content"]["S3Key"], "the functions' layer holds no byte code" in manifest


def test_what_the_cdks_command_line_deploys_has_byte_code(monkeypatch, tmp_path):
    monkeypatch.delenv("CDK_CLI_VERSION", raising=False)
    plain, warned = _layer_of(tmp_path / "plain")
    assert warned
    monkeypatch.setenv("CDK_CLI_VERSION", "2.1148.1")
    compiled, warned = _layer_of(tmp_path / "compiled")
    assert not warned
    staged = tmp_path / "compiled" / "cdk.out" / f"asset.{compiled}"
    assert staged.read_bytes() == layers.compiled_layer().built().read_bytes()
    assert plain != compiled


def test_a_deployment_never_falls_back_to_the_layer_of_sources(monkeypatch, tmp_path):
    monkeypatch.setenv("CDK_CLI_VERSION", "2.1148.1")
    monkeypatch.setattr(layers, "COMPILER", (ROOT / "Makefile",))
    with pytest.raises(InfraError, match=r"^\.make/layers/compiled-[0-9a-f]{64}\.zip, .*: run `make setup-cdk`$"):
        _alone(tmp_path)


def test_the_layer_has_the_releases_that_run_here():
    """The local run has no layer: what it runs on must be the same."""

    def pins(path: Path) -> set[tuple[str, str]]:
        return set(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", path.read_text(), re.MULTILINE))

    layer, here = pins(ROOT / "functions/requirements.txt"), pins(ROOT / "requirements.txt")
    assert {"aws-lambda-powertools", "pydantic", "pillow"} <= {name for name, _ in layer}
    assert {(name, release) for name, release in layer if name in dict(here)} <= here


def test_results_and_queues_are_kept_and_encrypted(stack, environment):
    [table] = resources(stack, "AWS::DynamoDB::Table").values()
    kept = load_environment(environment).retain_on_destroy
    assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["Properties"]["DeletionProtectionEnabled"] == kept
    assert table["DeletionPolicy"] == ("RetainExceptOnCreate" if kept else "Delete")
    queues = resources(stack, "AWS::SQS::Queue")
    assert len(queues) == len(resources(stack, "AWS::SQS::QueuePolicy")) == 3
    for body in queues.values():
        assert body["Properties"]["SqsManagedSseEnabled"] is True
    for body in resources(stack, "AWS::SQS::QueuePolicy").values():
        [denied] = [item for item in body["Properties"]["PolicyDocument"]["Statement"] if item["Effect"] == "Deny"]
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_what_people_have_yet_to_look_at_stays_with_the_results(stack, environment):
    kept = load_environment(environment).retain_on_destroy
    named = {body["Properties"]["QueueName"]: name for name, body in resources(stack, "AWS::SQS::Queue").items()}
    policies = {
        body["Properties"]["Queues"][0]["Ref"]: body for body in resources(stack, "AWS::SQS::QueuePolicy").values()
    }
    for queue in ("review.fifo", "review-failures.fifo", "classify-failures"):
        name = named[f"imgpipe-{environment}-{queue}"]
        stays = kept and queue != "classify-failures"
        for body in (stack["Resources"][name], policies[name]):
            assert (body.get("DeletionPolicy") == "RetainExceptOnCreate") == stays, queue


def test_the_review_queue_drops_duplicates_and_no_image_waits_for_another(stack, environment):
    [review] = [
        body["Properties"]
        for body in resources(stack, "AWS::SQS::Queue").values()
        if body["Properties"]["QueueName"] == f"imgpipe-{environment}-review.fifo"
    ]
    assert review["FifoQueue"] is True
    assert (review["DeduplicationScope"], review["FifoThroughputLimit"]) == ("messageGroup", "perMessageGroupId")
    assert review["RedrivePolicy"]["maxReceiveCount"] == 5


def _definitions(stack) -> dict[str, dict]:
    return {
        body["Properties"]["StateMachineName"]: json.loads(resolve(body["Properties"]["DefinitionString"], stack))
        for body in resources(stack, "AWS::StepFunctions::StateMachine").values()
    }


def test_machines_are_there_logged_traced_and_discard_what_they_should(stack, environment):
    definitions = _definitions(stack)
    assert set(definitions) == {f"imgpipe-{environment}-classify", f"imgpipe-{environment}-classify-prefix"}
    for body in resources(stack, "AWS::StepFunctions::StateMachine").values():
        assert body["Properties"]["TracingConfiguration"] == {"Enabled": True}
        assert body["Properties"]["LoggingConfiguration"]["IncludeExecutionData"] is False
    record = definitions[f"imgpipe-{environment}-classify"]["States"]["Record"]
    assert record.get("ResultPath", "missing") is None, "null must survive the synth"


def test_serialize_reads_images_and_writes_payloads(stack, environment):
    bucket = f"arn:aws:s3:::imgpipe-{environment}-{{}}-123456789012-us-east-1"
    data, artifacts = bucket.format("data"), bucket.format("artifacts")
    settings = load_environment(environment)
    given = (settings.pipeline.input_prefix, settings.pipeline.transform.input_prefix)
    name, images = settings.endpoint_name, {f"{data}/{prefix.split('/')[0]}/*" for prefix in given}
    found = statements(stack, "FunctionsSerialize")
    assert set(listed(found["ReadImages"]["Resource"])) == images
    assert set(found["ReadImages"]["Action"]) == {"s3:GetObject", "s3:GetObjectVersion"}
    assert found["ReadLiveModel"]["Resource"] == f"{artifacts}/serving/{name}/live.json"
    assert found["FindLiveModel"]["Condition"] == {"StringEquals": {"s3:prefix": f"serving/{name}/live.json"}}
    assert (found["WritePayloads"]["Action"], found["WritePayloads"]["Resource"]) == (
        "s3:PutObject",
        f"{artifacts}/classify/*",
    )
    assert set(_allowed(stack, "FunctionsSerialize", without=LOGGING | TRACING)) == {
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:ListBucket",
        "s3:PutObject",
    }


def test_classify_asks_the_one_endpoint_and_filter_nobody(stack, environment):
    artifacts = f"arn:aws:s3:::imgpipe-{environment}-artifacts-123456789012-us-east-1"
    name = load_environment(environment).endpoint_name
    assert _allowed(stack, "FunctionsClassify", without=LOGGING | TRACING) == {
        "s3:GetObject": [f"{artifacts}/classify/*"],
        "sagemaker:InvokeEndpoint": [f"arn:aws:sagemaker:us-east-1:123456789012:endpoint/{name}"],
    }
    assert _allowed(stack, "FunctionsFilter", without=LOGGING | TRACING) == {}


def test_the_machines_reach_their_functions_table_and_queues(stack, environment):
    for machine in ("MachinesImageRole", "MachinesPrefixRole"):
        allowed = _allowed(stack, machine, without=DELIVERY)
        assert set(allowed["lambda:InvokeFunction"]) == {
            LAMBDA.format(environment, name) for name in ("serialize", "classify", "filter")
        }
        assert {action for action in allowed if action.startswith("dynamodb:")} == {
            "dynamodb:GetItem",
            "dynamodb:PutItem",
            "dynamodb:UpdateItem",
        }
        assert len(allowed["sqs:SendMessage"]) == 2
    image = _allowed(stack, "MachinesImageRole", without=DELIVERY)
    assert not [action for action in image if action.startswith(("s3:", "states:"))]
    prefix = statements(stack, "MachinesPrefixRole")
    assert prefix["StartItems"]["Resource"].endswith(f":stateMachine:imgpipe-{environment}-classify-prefix")
    assert prefix["FollowItems"]["Resource"].endswith(f":execution:imgpipe-{environment}-classify-prefix:*")
    assert prefix["WriteResults"]["Resource"].endswith("-us-east-1/classify/runs/*")
    assert "s3:prefix" in prefix["ListImages"]["Condition"]["StringLike"]


def test_stars_are_only_for_logs_and_traces(stack):
    for name, body in resources(stack, "AWS::IAM::Policy").items():
        for statement in resolve(body["Properties"]["PolicyDocument"], stack)["Statement"]:
            if "*" in listed(statement["Resource"]):
                assert set(listed(statement["Action"])) <= DELIVERY, name


def test_only_its_own_machine_takes_on_a_machines_role(stack):
    for name, role in resources(stack, "AWS::IAM::Role").items():
        [statement] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        if statement["Principal"] == {"Service": "states.amazonaws.com"}:
            assert {"StringEquals", "ArnLike"} == set(statement["Condition"]), name
            source = resolve(statement["Condition"]["ArnLike"]["aws:SourceArn"], stack)
            # The items of a distributed map run as machines of its label.
            own = [source[0], f"{source[0]}/*"] if source[0].endswith("classify-prefix") else source[:1]
            assert source == own, name


def test_iam_knows_every_action_with_its_resources_and_conditions(stack):
    for name, body in resources(stack, "AWS::IAM::Policy").items():
        findings = iam_findings(resolve(body["Properties"]["PolicyDocument"], stack))
        assert not [finding for finding in findings if not all(part in finding for part in EXPRESS)], name


def _rules(stack) -> dict[str, dict]:
    found = [body["Properties"] for body in resources(stack, "AWS::Events::Rule").values()]
    return {rule["Name"].split("-", 2)[2]: rule for rule in found}


def test_ends_that_leave_no_message_reach_the_failure_queue_by_a_rule(stack, environment):
    rule = _rules(stack)["classify-unexpected"]
    detail = rule["EventPattern"]["detail"]
    machines = resources(stack, "AWS::StepFunctions::StateMachine")
    assert [item["Ref"] for item in detail["stateMachineArn"]] == list(machines)
    assert rule["EventPattern"]["source"] == ["aws.states"]
    told = {"ClassificationFailed"}
    for name, machine in _definitions(stack).items():
        ends = {state["Error"] for state in machine["States"].values() if state["Type"] == "Fail"}
        assert ends == told, f"{name} leaves a message before each of its own failures"
    assert detail["$or"] == [
        {"status": ["TIMED_OUT", "ABORTED"]},
        {"status": ["FAILED"], "error": [{"exists": False}, {"anything-but": sorted(told)}]},
    ]
    [target] = rule["Targets"]
    [queue] = [
        name
        for name, body in resources(stack, "AWS::SQS::Queue").items()
        if body["Properties"]["QueueName"] == f"imgpipe-{environment}-classify-failures"
    ]
    assert (target["Arn"], target["InputPath"]) == ({"Fn::GetAtt": [queue, "Arn"]}, "$.detail")
    [policy] = [
        body["Properties"]["PolicyDocument"]["Statement"]
        for body in resources(stack, "AWS::SQS::QueuePolicy").values()
        if body["Properties"]["Queues"] == [{"Ref": queue}]
    ]
    [allowed] = [statement for statement in policy if statement["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert "aws:SourceArn" in allowed["Condition"]["ArnEquals"]


def test_without_an_inbox_nothing_starts_by_itself(template, stack, environment):
    assert "inbox" not in _rules(stack)
    assert "EventBridgeConfiguration" not in json.dumps(template(environment, "dataset"))


def test_an_inbox_starts_the_machine_for_new_images(tmp_path):
    dataset, stack = _alone(tmp_path, inbox_prefix="inbox/new", threshold=0.5)
    rule = _rules(stack)["inbox"]
    pattern = rule["EventPattern"]
    assert pattern["detail"]["object"] == {"key": [{"prefix": "inbox/new/"}], "size": [{"numeric": [">", 0]}]}
    [target] = rule["Targets"]
    assert target["DeadLetterConfig"]
    notifying = [
        body["Properties"]["BucketName"]
        for body in resources(dataset, "AWS::S3::Bucket").values()
        if "NotificationConfiguration" in body["Properties"]
    ]
    assert ["-data-" in json.dumps(name) for name in notifying] == [True]
    assert any("/inbox/*" in arn for arn in statements(stack, "FunctionsSerialize")["ReadImages"]["Resource"])
    assert _functions(stack)["filter"]["Environment"]["Variables"]["CONFIDENCE_THRESHOLD"] == "0.5"
