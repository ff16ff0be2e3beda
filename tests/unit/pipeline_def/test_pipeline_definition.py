"""What must hold of every definition, whatever the settings."""

from __future__ import annotations

import json
import re
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from definition_walk import resolved_steps
from environment_definitions import FULL, definition_of

from infra.environments import load_environment
from local.executor.definition import Definition
from local.executor.expressions import references
from pipeline_def.definition import build_definition
from pipeline_def.hyperparameters import NOT_SETTABLE, Hyperparameter, table
from pipeline_def.settings import PipelineSettings

STEPS = ["Resolve", "Preprocess", "Train", "Evaluate", "Gate", "Package", "SmokeTest", "Register", "BelowThreshold"]
REQUESTS = {
    "Processing": ("CreateProcessingJob", {"ProcessingJobName": "job"}),
    "Training": ("CreateTrainingJob", {"TrainingJobName": "job"}),
    "Tuning": ("CreateHyperParameterTuningJob", {"HyperParameterTuningJobName": "job"}),
    "RegisterModel": ("CreateModelPackage", {}),
}
METADATA_VALUE = re.compile(r"^[\w\s.:/=+@-]{1,256}$", re.ASCII)


def _names(definition: str) -> list[str]:
    return [step.name for step in Definition.parse(definition).steps]


def _job_steps(definition: str) -> list[str]:
    """The steps that train."""
    return [name for name in _names(definition) if name in ("Train", "Tune")]


def test_steps_are_the_designed_ones(own: str, builtin: str, sharded: str, tune: str, retrain: str) -> None:
    assert _names(own) == _names(builtin) == STEPS
    assert _names(sharded) == ["Resolve", "Pack", *STEPS[1:]]
    assert _names(tune) == [*STEPS[:2], "Tune", "Trials", *STEPS[3:]]
    assert _names(retrain) == [*STEPS[:2], "CheckBase", *STEPS[2:]]
    assert _names(definition_of(FULL, "tune")) == [*STEPS[:2], "Tune", "Trials", *STEPS[2:]]


def test_every_declared_parameter_is_referenced_and_every_reference_declared(definition: str) -> None:
    document = json.loads(definition)
    declared = {parameter["Name"] for parameter in document["Parameters"]}
    referenced = {name.removeprefix("Parameters.") for name in references(document) if name.startswith("Parameters.")}
    assert referenced == declared


def test_every_reference_to_a_step_resolves(definition: str) -> None:
    assert list(resolved_steps(definition)) == _names(definition)


def _other_value(parameter: dict[str, Any]) -> str:
    default = parameter["DefaultValue"]
    if "EnumValues" in parameter:
        return next(value for value in parameter["EnumValues"] if value != default)
    return f"{default}x" if parameter["Type"] == "String" else str(default + 1)


def test_an_override_of_every_parameter_changes_the_resolved_arguments(definition: str) -> None:
    before = resolved_steps(definition)
    for parameter in json.loads(definition)["Parameters"]:
        after = resolved_steps(definition, overrides={parameter["Name"]: _other_value(parameter)})
        assert after != before, f"{parameter['Name']} is not wired"


def test_resolved_arguments_are_accepted_by_the_service_model(definition: str) -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    checked = 0
    for name, step in resolved_steps(definition).items():
        if step["Type"] in REQUESTS:
            operation, added = REQUESTS[step["Type"]]
            shape = model.operation_model(operation).input_shape
            report = ParamValidator().validate(step["Arguments"] | added, shape)
            assert not report.has_errors(), f"{name}: {report.generate_report()}"
            checked += 1
    assert checked == 5 + len(_job_steps(definition)) + ("Pack" in _names(definition))


def _hyperparameters(step: dict[str, Any]) -> dict[str, str]:
    """What a training job of the step gets, or what all of a tuning job's get."""
    arguments = step["Arguments"]
    found: dict[str, str] = (arguments.get("TrainingJobDefinition") or arguments).get(
        "HyperParameters", arguments.get("TrainingJobDefinition", {}).get("StaticHyperParameters")
    )
    return found


def test_hyperparameters_are_strings_on_the_wire(definition: str) -> None:
    for name in _job_steps(definition):
        values = _hyperparameters(resolved_steps(definition)[name])
        assert all(isinstance(value, str) for value in values.values())
        assert values["num_classes"] == "3"
        assert values["num_training_samples"] == "800"


def test_image_shape_follows_the_image_size(definition: str) -> None:
    steps = resolved_steps(definition, overrides={"ImageSize": "48"})
    for name in _job_steps(definition):
        assert _hyperparameters(steps[name])["image_shape"] == "3,48,48"


def _output_uris(steps: dict[str, dict[str, Any]]) -> set[str]:
    uris = set()
    for step in steps.values():
        arguments = step["Arguments"].get("TrainingJobDefinition") or step["Arguments"]
        uris |= {item["S3Output"]["S3Uri"] for item in arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])}
        uris |= {uri for uri in [arguments.get("OutputDataConfig", {}).get("S3OutputPath")] if uri}
    return uris


def test_two_executions_share_no_output(definition: str) -> None:
    first = _output_uris(resolved_steps(definition, execution_id="aaaaaaaaaaaa"))
    second = _output_uris(resolved_steps(definition, execution_id="bbbbbbbbbbbb"))
    assert first
    assert not first & second
    assert all("/aaaaaaaaaaaa/" in uri + "/" for uri in first)


def test_inputs_come_from_the_producing_step_and_never_from_a_join_of_the_consumers_own(definition: str) -> None:
    """But for the best model of a tuning job, which has no property with its artifact and is never cached."""
    for step in Definition.parse(definition).steps:
        for item in step.spec.get("Arguments", {}).get("ProcessingInputs", []):
            if (item["InputName"], _job_steps(definition)) != ("model", ["Tune"]):
                assert item["S3Input"]["S3Uri"].keys() == {"Get"}, f"{step.name}: {item['InputName']} is made up"
        for channel in step.spec.get("Arguments", {}).get("InputDataConfig", []):
            if (channel["ChannelName"], _job_steps(definition)) != ("model", ["Tune", "Train"]):
                assert channel["DataSource"]["S3DataSource"]["S3Uri"].keys() == {"Get"}


def test_what_is_registered_lies_where_nothing_expires(definition: str) -> None:
    request = resolved_steps(definition)["Register"]["Arguments"]
    kept = "s3://imgpipe-artifacts/models/abc123def456/package/"
    served = "s3://imgpipe-artifacts/models/abc123def456/serving/"
    assert request["InferenceSpecification"]["Containers"][0]["ModelDataUrl"] == f"{served}model.tar.gz"
    assert request["CustomerMetadataProperties"]["sample_uri"] == f"{served}sample.json"
    assert request["CustomerMetadataProperties"]["baseline_uri"] == f"{kept}baseline.json"
    assert request["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"] == f"{kept}evaluation.json"
    assert request["ModelMetrics"]["ModelDataQuality"]["Statistics"]["S3Uri"] == f"{kept}baseline.json"
    assert request["DriftCheckBaselines"]["ModelDataQuality"]["Statistics"]["S3Uri"] == f"{kept}baseline.json"
    assert request["CustomerMetadataProperties"]["labels_uri"] == f"{kept}labels.json"
    assert request["CustomerMetadataProperties"]["training_artifact_uri"] == f"{kept}model.tar.gz"


def test_the_version_is_served_by_our_serving_image_after_its_smoke_test(definition: str) -> None:
    steps = resolved_steps(definition)
    container = steps["Register"]["Arguments"]["InferenceSpecification"]["Containers"][0]
    smoke = steps["SmokeTest"]["Arguments"]
    assert container["Image"] == smoke["AppSpecification"]["ImageUri"]
    assert container["Image"].endswith("/assets:serve")
    [served] = smoke["ProcessingInputs"]
    assert f"{served['S3Input']['S3Uri']}/model.tar.gz" == container["ModelDataUrl"]
    register = next(step for step in Definition.parse(definition).steps if step.name == "Register")
    assert "SmokeTest" in register.depends_on


def test_customer_metadata_keeps_the_services_limits(definition: str) -> None:
    metadata = resolved_steps(definition)["Register"]["Arguments"]["CustomerMetadataProperties"]
    assert len(metadata) <= 50
    assert {name: value for name, value in metadata.items() if not METADATA_VALUE.match(value)} == {}
    assert metadata["content_hash"].startswith("sha256:")
    assert metadata["training_artifact_sha256"] == "ab" * 32
    assert metadata["num_classes"] == "3"


def test_every_image_content_type_is_registered(definition: str) -> None:
    specification = resolved_steps(definition)["Register"]["Arguments"]["InferenceSpecification"]
    assert specification["SupportedContentTypes"] == [
        "image/jpeg",
        "image/png",
        "application/x-image",
        "application/json",
    ]


def _cache_key(steps: dict[str, dict[str, Any]], name: str) -> str:
    """The arguments that the service compares: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-caching.html"""
    parts = ("AppSpecification", "Environment", "ProcessingInputs")
    return json.dumps([steps[name]["Arguments"].get(part) for part in parts], sort_keys=True)


def test_changed_images_at_the_same_prefix_miss_the_cache_and_unchanged_ones_hit_it(definition: str) -> None:
    reader = _names(definition)[1]

    def key(listing_hash: str, execution_id: str) -> str:
        return _cache_key(resolved_steps(definition, listing_hash=listing_hash, execution_id=execution_id), reader)

    assert key("0" * 64, "aaaaaaaaaaaa") == key("0" * 64, "bbbbbbbbbbbb")
    assert key("0" * 64, "aaaaaaaaaaaa") != key("1" * 64, "aaaaaaaaaaaa")


def _jobs(steps: dict[str, dict[str, Any]], *kinds: str) -> list[str]:
    """The names of the steps that are jobs."""
    found = [name for name, step in steps.items() if step["Type"] in (kinds or ("Processing", "Training"))]
    assert len(found) >= 3
    return found


def test_functions_tuning_and_spot_training_are_never_cached_and_other_jobs_are(definition: str) -> None:
    steps = resolved_steps(definition)
    for step in steps.values():
        if step["Type"] in ("Lambda", "Tuning") or step["Arguments"].get("CheckpointConfig"):
            assert "CacheConfig" not in step
    for name in _jobs(steps):
        if steps[name]["Arguments"].get("CheckpointConfig"):
            continue
        assert steps[name]["CacheConfig"]["Enabled"] is True
        assert re.fullmatch(r"P\d+D", steps[name]["CacheConfig"]["ExpireAfter"])


def test_jobs_are_isolated_limited_and_retried(definition: str) -> None:
    steps = resolved_steps(definition)
    for name in _jobs(steps, "Processing"):
        assert steps[name]["Arguments"]["NetworkConfig"]["EnableNetworkIsolation"] is True
    for name in _job_steps(definition):
        arguments = steps[name]["Arguments"]
        assert (arguments.get("TrainingJobDefinition") or arguments)["EnableNetworkIsolation"] is True
    for name in _jobs(steps):
        assert steps[name]["Arguments"]["StoppingCondition"]["MaxRuntimeInSeconds"] > 0
        retried = {kind for policy in steps[name]["RetryPolicies"] for kind in policy["ExceptionType"]}
        assert {"Step.THROTTLING", "Step.SERVICE_FAULT", "SageMaker.CAPACITY_ERROR"} <= retried


def test_people_read_a_name_and_a_description_of_every_step(definition: str) -> None:
    for step in Definition.parse(definition).steps:
        assert step.spec["DisplayName"]
        assert step.spec["Description"].endswith(".")


def test_a_failed_gate_says_what_the_evaluation_wrote_of_the_gates_it_was_told(definition: str) -> None:
    steps = resolved_steps(definition, overrides={"AccuracyThreshold": "0.95", "ChampionMargin": "0.03"})
    message = steps["BelowThreshold"]["Arguments"]["ErrorMessage"]
    assert message == "Gate not passed: accuracy 0.91 (AccuracyThreshold: at least 0.95)"
    told = steps["Evaluate"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    assert "--at-least accuracy AccuracyThreshold 0.95" in " ".join(told)
    assert "--at-most champion.worse_by ChampionMargin 0.03" in " ".join(told)


def test_evaluate_is_told_every_condition_of_the_gate(definition: str) -> None:
    steps = resolved_steps(definition)
    told = steps["Evaluate"]["Arguments"]["AppSpecification"]["ContainerArguments"]
    options = [told[number : number + 4] for number, text in enumerate(told) if text in ("--at-least", "--at-most")]
    kinds = {"--at-least": "GreaterThanOrEqualTo", "--at-most": "LessThanOrEqualTo"}
    conditions = steps["Gate"]["Arguments"]["Conditions"]
    assert [(kinds[option], float(threshold)) for option, _, _, threshold in options] == [
        (condition["Type"], condition["RightValue"]) for condition in conditions
    ]


def test_closed_values_are_enums(definition: str) -> None:
    parameters = json.loads(definition)["Parameters"]
    closed = {
        "RecordFormat",
        "Crop",
        "PassThrough",
        "ConvertIcc",
        "NumLayers",
        "Optimizer",
        "AugmentationType",
        "ModelApprovalStatus",
    }
    assert closed & {item["Name"] for item in parameters} == {
        item["Name"] for item in parameters if "EnumValues" in item and item["Name"] in closed
    }
    assert {"RecordFormat", "NumLayers"} <= {item["Name"] for item in parameters if "EnumValues" in item}


def test_the_built_in_image_gets_only_what_it_accepts(builtin: str) -> None:
    train = resolved_steps(builtin)["Train"]["Arguments"]
    assert "/image-classification:" in train["AlgorithmSpecification"]["TrainingImage"]
    known = {row.name for row in table().values() if "builtin" in row.images}
    assert train["HyperParameters"].keys() <= known
    assert "seed" not in train["HyperParameters"]
    [augmentation] = [item for item in json.loads(builtin)["Parameters"] if item["Name"] == "AugmentationType"]
    assert "none" not in augmentation["EnumValues"]


def test_our_own_trainer_gets_the_seed(own: str) -> None:
    train = resolved_steps(own, overrides={"Seed": "7"})["Train"]["Arguments"]
    assert train["AlgorithmSpecification"]["TrainingImage"].endswith("/assets:mxnet")
    assert train["HyperParameters"]["seed"] == "7"


def test_nothing_null_or_empty_reaches_the_service(definition: str) -> None:
    assert "null" not in definition
    assert "{}" not in definition


def test_the_definition_version_depends_on_the_definition(own: str, builtin: str) -> None:
    def version(definition: str) -> str:
        return str(
            resolved_steps(definition)["Register"]["Arguments"]["CustomerMetadataProperties"]["definition_version"]
        )

    assert re.fullmatch(r"[0-9a-f]{16}", version(own))
    assert version(own) != version(builtin)


def test_equal_settings_give_equal_text(own: str) -> None:
    settings = load_environment("dev")
    assert build_definition(settings.pipeline, pipeline="train", region=settings.region) == own


def test_caching_can_be_switched_off() -> None:
    definition = build_definition(PipelineSettings(cache_days=0), pipeline="train", region="eu-west-1")
    assert resolved_steps(definition)["Train"]["CacheConfig"] == {"Enabled": False}


def test_every_hyperparameter_can_be_offered_under_a_name_of_its_own() -> None:
    def allowed(row: Hyperparameter) -> str | int | float:
        choices = row.choices_for("own")
        return choices[0] if choices else row.default or (int(row.min or 1) if row.type == "int" else 0.5)

    given = {name: allowed(row) for name, row in table().items() if name not in NOT_SETTABLE and row.type != "string"}
    settings = PipelineSettings.model_validate(
        {
            "train": {
                "image": "own",
                "instance_type": "ml.g4dn.xlarge",
                "pretrained_model_uri": "s3://imgpipe-data/pretrained/model.tar.gz",
                "hyperparameters": given,
            }
        }
    )
    names = [
        item["Name"]
        for item in json.loads(build_definition(settings, pipeline="train", region="us-east-1"))["Parameters"]
    ]
    assert len(given) > 12
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("region", "registry"), [("eu-west-1", "685385470294"), ("us-east-1", "811284229777")])
def test_the_built_in_image_is_the_regions_own(region: str, registry: str) -> None:
    definition = build_definition(PipelineSettings(), pipeline="train", region=region)
    image = resolved_steps(definition)["Train"]["Arguments"]["AlgorithmSpecification"]["TrainingImage"]
    assert image == f"{registry}.dkr.ecr.{region}.amazonaws.com/image-classification:1"
