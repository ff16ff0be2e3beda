"""cdk-nag and cfn-lint over every environment, and the acknowledgements that cdk-nag was given."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cloudformation import resolve, resources

from infra.environments import load_environment
from infra.settings import EnvironmentSettings

# W3005: CDK's DependsOn repeats what a Ref already says; harmless, and not ours to change.
IGNORED = ("W3005",)


def test_cdk_nag_and_synth_accept_every_environment(assembly, environment):
    # build_app adds the rules, and synth raises on a finding: test_a_finding_fails_the_synth.
    assert list(assembly(environment).glob("*.template.json"))


def test_a_finding_fails_the_synth(tmp_path):
    from aws_cdk import aws_s3 as s3

    from infra.app import build_app

    app = build_app(load_environment("dev"), outdir=tmp_path / "cdk.out")
    s3.Bucket(app.node.find_child("imgpipe-dev-dataset"), "Careless")
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    assert "AwsSolutions-S1" in (tmp_path / "cdk.out" / "validation-report.json").read_text()


def test_every_acknowledgement_is_narrow_and_has_its_reason(assembly, environment):
    acknowledged = []
    for path in assembly(environment).glob("*.metadata.json"):
        for construct, entries in json.loads(path.read_text()).items():
            for entry in entries:
                if entry["type"] == "aws:cdk:acknowledged-rules":
                    acknowledged += [(construct, rule, reason) for rule, reason in entry["data"].items()]
    assert acknowledged
    for construct, rule, reason in acknowledged:
        if "AwsSolutions-SQS3" in rule:
            assert construct.endswith("/Failures"), f"{construct}: only a dead-letter queue has none of its own"
        else:
            assert construct.endswith("/Role"), f"{construct}: on the one role that needs it, not on a stack"
            assert "AwsSolutions-IAM5[Resource::" in rule, f"{construct}: one finding, not a whole rule"
        assert len(reason) > 40
        assert reason.endswith(".")
    assert len({(construct, rule) for construct, rule, _ in acknowledged}) == len(acknowledged)


def _lint(outdir: Path) -> None:
    templates = sorted(str(path) for path in outdir.glob("*.template.json"))
    command = [Path(sys.executable).with_name("cfn-lint"), "--ignore-checks", *IGNORED, "--", *templates]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_cfn_lint_accepts_every_template(assembly, environment):
    _lint(assembly(environment))


def test_both_accept_all_that_the_environments_leave_off(tmp_path):
    from infra.app import build_app

    settings = load_environment("dev")
    train = settings.pipeline.train.model_dump(mode="json") | {
        "instance_type": "ml.g4dn.xlarge",
        "spot": True,
        "pretrained_model_uri": "s3://weights/flowers/model.tar.gz",
        "profiler": {"enabled": True},
    }
    pipeline = settings.pipeline.model_dump(mode="json") | {
        "train": train,
        "tracking_server_arn": "arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/vision",
    }
    changed = EnvironmentSettings.model_validate(settings.model_dump() | {"pipeline": pipeline})
    build_app(changed, outdir=tmp_path / "cdk.out").synth()
    _lint(tmp_path / "cdk.out")


def test_every_alarm_names_a_runbook_that_exists(assembly, environment):
    text = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    named = {}
    for path in assembly(environment).glob("*.template.json"):
        for name, body in resources(json.loads(path.read_text()), "AWS::CloudWatch::Alarm").items():
            found = re.findall(r"docs/operations\.md#([\w-]+)", json.dumps(body["Properties"]["AlarmDescription"]))
            named[name] = bool(found) and set(found) <= anchors
    assert named
    assert all(named.values()), [name for name, known in named.items() if not known]


def _state_names(states):
    """Names of all states of a machine, those within maps and branches included."""
    for name, state in states.items():
        yield name
        for part in (state.get("ItemProcessor"), *state.get("Branches", ())):
            yield from _state_names(part["States"]) if part else ()


def test_state_names_are_unique_within_a_machine(assembly, environment):
    """The service refuses a name that stands twice, also on different levels: DUPLICATE_STATE_NAME."""
    seen = 0
    for path in assembly(environment).glob("*.template.json"):
        template = json.loads(path.read_text())
        for body in resources(template, "AWS::StepFunctions::StateMachine").values():
            names = list(_state_names(json.loads(resolve(body["Properties"]["DefinitionString"], template))["States"]))
            assert len(names) == len(set(names))
            seen += 1
    assert seen == 4
