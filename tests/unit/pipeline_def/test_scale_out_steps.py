"""Packing on several instances: what Pack and the merging Preprocess are, and that nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import botocore.session
import pytest
from definition_walk import resolved_steps

from local.executor.definition import Definition
from pipeline_def.definition import build_definition
from pipeline_def.settings import GROUP_BY_OPTION, MAX_GROUP_BY_CHARACTERS, PipelineSettings, PreprocessSettings

ARTIFACTS = "s3://imgpipe-artifacts/executions/abc123def456/preprocess"


def _s3_input(step: dict[str, Any]) -> dict[str, str]:
    [item] = step["Arguments"]["ProcessingInputs"]
    return {"InputName": item["InputName"], **item["S3Input"]}


def _outputs(step: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {
        item["OutputName"]: (item["S3Output"]["S3Uri"], item["S3Output"]["LocalPath"], item["S3Output"]["S3UploadMode"])
        for item in step["Arguments"]["ProcessingOutputConfig"]["Outputs"]
    }


def _instances(step: dict[str, Any]) -> int:
    return int(step["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceCount"])


def test_pack_deals_the_images_out_to_its_instances(sharded: str) -> None:
    pack = resolved_steps(sharded)["Pack"]
    assert _instances(pack) == 5
    assert pack["Arguments"]["AppSpecification"]["ContainerEntrypoint"] == ["python", "-m", "preprocess.shard"]
    data = _s3_input(pack)
    assert (data["InputName"], data["LocalPath"]) == ("data", "/opt/ml/processing/input/data")
    assert data["S3Uri"] == "s3://imgpipe-data/datasets/main/"
    assert (data["S3DataDistributionType"], data["S3InputMode"]) == ("ShardedByS3Key", "File")
    assert _outputs(pack) == {"pool": (f"{ARTIFACTS}/pool", "/opt/ml/processing/output/pool", "EndOfJob")}
    assert "PropertyFiles" not in pack


def test_preprocess_merges_the_whole_pool_on_one_instance(sharded: str, own: str) -> None:
    merge, single = resolved_steps(sharded)["Preprocess"], resolved_steps(own)["Preprocess"]
    assert _instances(merge) == _instances(single) == 1
    assert merge["Arguments"]["AppSpecification"]["ContainerEntrypoint"] == ["python", "-m", "preprocess.merge"]
    assert single["Arguments"]["AppSpecification"]["ContainerEntrypoint"] == ["python", "-m", "preprocess"]
    pool = _s3_input(merge)
    assert (pool["InputName"], pool["S3Uri"]) == ("pool", f"{ARTIFACTS}/pool")
    assert (pool["LocalPath"], pool["S3DataDistributionType"]) == ("/opt/ml/processing/input/pool", "FullyReplicated")
    assert set(_outputs(merge)) == {"train", "validation", "test", "dataset"}
    assert _outputs(merge) == _outputs(single)
    assert merge["PropertyFiles"] == single["PropertyFiles"]


def test_the_pool_is_where_pack_says_it_is(sharded: str) -> None:
    """After a cache hit of Pack that is below the id of an older execution."""
    [merge] = [step for step in json.loads(sharded)["Steps"] if step["Name"] == "Preprocess"]
    [item] = merge["Arguments"]["ProcessingInputs"]
    assert item["S3Input"]["S3Uri"] == {"Get": "Steps.Pack.ProcessingOutputConfig.Outputs['pool'].S3Output.S3Uri"}


def test_shards_and_merge_are_told_what_a_single_instance_is_told(sharded: str, own: str) -> None:
    steps, single = resolved_steps(sharded), resolved_steps(own)["Preprocess"]["Arguments"]
    for name in ("Pack", "Preprocess"):
        arguments = steps[name]["Arguments"]
        told = ("ContainerArguments", "ImageUri")
        assert [arguments["AppSpecification"][key] for key in told] == [single["AppSpecification"][key] for key in told]
        for key in ("Environment", "NetworkConfig", "StoppingCondition", "RoleArn"):
            assert arguments[key] == single[key]
        assert steps[name]["RetryPolicies"] == resolved_steps(own)["Preprocess"]["RetryPolicies"]


def test_new_images_pack_anew_and_merge_anew(sharded: str) -> None:
    for name in ("Pack", "Preprocess"):
        before, after = (
            resolved_steps(sharded, listing_hash=value * 64)[name]["Arguments"]["Environment"] for value in "01"
        )
        assert before != after


def test_parameters_and_all_other_steps_are_those_of_one_instance(sharded: str, own: str) -> None:
    several, one = json.loads(sharded), json.loads(own)
    assert several["Parameters"] == one["Parameters"]

    def others(definition: str) -> dict[str, Any]:
        steps = {step.name: dict(step.spec) for step in Definition.parse(definition).steps if step.name not in changed}
        # The registered version names the definition, which is another one.
        del steps["Register"]["Arguments"]["CustomerMetadataProperties"]["definition_version"]
        return steps

    changed = ("Pack", "Preprocess", "Gate")  # Gate holds the steps of its branches, which are here by themselves
    assert others(sharded) == others(own)


@pytest.mark.parametrize(("count", "steps"), [(1, ["Preprocess"]), (2, ["Pack", "Preprocess"])])
def test_the_number_of_instances_decides_the_steps(count: int, steps: list[str]) -> None:
    settings = PipelineSettings.model_validate({"preprocess": {"instance_count": count}})
    names = [
        step["Name"] for step in json.loads(build_definition(settings, pipeline="train", region="us-east-1"))["Steps"]
    ]
    assert names[1:-3] == steps


@pytest.mark.parametrize("step", ["Pack", "Preprocess"])
@pytest.mark.parametrize(
    "expression", ["(\\d{5})_", "-begins with a dash", "a b'\"\\\\$|&", "x" * MAX_GROUP_BY_CHARACTERS]
)
def test_a_group_expression_arrives_as_one_argument(sharded: str, step: str, expression: str) -> None:
    arguments = resolved_steps(sharded, overrides={"GroupBy": expression})[step]["Arguments"]["AppSpecification"]
    assert arguments["ContainerArguments"][-1] == f"--group-by={expression}"


def test_no_grouping_is_an_argument_too(definition: str) -> None:
    arguments = resolved_steps(definition)["Preprocess"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert arguments[-1] == "--group-by="


def test_a_default_of_the_settings_reaches_the_definition_unharmed() -> None:
    expression = r'^[^"\\]+_(\d+)\.(?:png|jpe?g)$'
    settings = PipelineSettings.model_validate(
        {"preprocess": {"group_by": expression, "crop": "square", "pass_through": True, "convert_icc": True}}
    )
    steps = resolved_steps(build_definition(settings, pipeline="train", region="us-east-1"))
    arguments = steps["Preprocess"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert arguments[-7:] == [
        "--crop",
        "square",
        "--pass-through",
        "true",
        "--convert-icc",
        "true",
        f"--group-by={expression}",
    ]


def test_the_longest_group_expression_fits_into_an_argument() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    limit = model.shape_for("ContainerArgument").metadata["max"]
    assert len(GROUP_BY_OPTION) + MAX_GROUP_BY_CHARACTERS == limit


def test_the_most_instances_are_those_of_the_service() -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    limits = model.shape_for("ProcessingInstanceCount").metadata
    bounds = PreprocessSettings.model_fields["instance_count"].metadata
    assert [item.ge for item in bounds if hasattr(item, "ge")] == [limits["min"]]
    assert [item.le for item in bounds if hasattr(item, "le")] == [limits["max"]]
