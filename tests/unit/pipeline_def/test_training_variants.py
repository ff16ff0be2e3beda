"""What the settings of training, tuning and gates make of the definition."""

from __future__ import annotations

import json
from typing import Any

import pytest
from definition_walk import resolved_steps
from environment_definitions import FULL, definition_of

from pipeline_def.definition import build_definition
from pipeline_def.settings import REGISTERING_PIPELINES, PipelineSettings
from pipeline_def.settings.evaluate import GATE_METRICS
from pipeline_def.steps.trainer import METRICS

EXECUTION = "s3://imgpipe-artifacts/executions/abc123def456"


def channels(step: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Channels by name, of a training job or of all of a tuning job's."""
    arguments = step["Arguments"].get("TrainingJobDefinition") or step["Arguments"]
    return {item["ChannelName"]: item for item in arguments["InputDataConfig"]}


def uri(channel: dict[str, Any]) -> str:
    found: str = channel["DataSource"]["S3DataSource"]["S3Uri"]
    return found


def test_an_unknown_pipeline_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="pipeline 'serve' is unknown: use one of train, tune, retrain"):
        build_definition(PipelineSettings(), pipeline="serve", region="us-east-1")


def test_spot_training_checkpoints_below_its_own_execution(full: str, own: str) -> None:
    arguments = resolved_steps(full)["Train"]["Arguments"]
    assert arguments["EnableManagedSpotTraining"] is True
    assert arguments["CheckpointConfig"] == {"S3Uri": f"{EXECUTION}/checkpoints/train"}
    assert arguments["StoppingCondition"]["MaxWaitTimeInSeconds"] == 1440 * 60
    ordinary = resolved_steps(own)["Train"]["Arguments"]
    assert ordinary.keys() & {"CheckpointConfig", "EnableManagedSpotTraining", "ProfilerConfig"} == set()


def test_several_instances_and_fast_file_reach_the_job(full: str) -> None:
    arguments = resolved_steps(full)["Train"]["Arguments"]
    assert arguments["ResourceConfig"]["InstanceCount"] == 2
    assert arguments["AlgorithmSpecification"]["TrainingInputMode"] == "FastFile"
    assert arguments["AlgorithmSpecification"]["TrainingImage"].endswith("/assets:mxnet-gpu")
    assert arguments["HyperParameters"]["kv_store"] == "dist_sync"


def test_the_profiler_watches_with_the_rules_of_the_settings(full: str) -> None:
    arguments = resolved_steps(full)["Train"]["Arguments"]
    assert arguments["ProfilerConfig"] == {
        "S3OutputPath": f"{EXECUTION}/profiler",
        "ProfilingIntervalInMilliseconds": 500,
    }
    rules = arguments["ProfilerRuleConfigurations"]
    assert [rule["RuleParameters"]["rule_to_invoke"] for rule in rules] == [
        "ProfilerReport",
        "LowGPUUtilization",
        "CPUBottleneck",
    ]
    assert all("sagemaker-debugger-rules" in rule["RuleEvaluatorImage"] for rule in rules)


def test_pretrained_weights_are_a_channel_of_training_and_tuning_and_a_parameter() -> None:
    for pipeline, name in (("train", "Train"), ("tune", "Tune")):
        other = {"PretrainedModelUri": "s3://imgpipe-data/pretrained/other.tar.gz"}
        step = resolved_steps(definition_of(FULL, pipeline), overrides=other)[name]
        assert uri(channels(step)["pretrained"]) == other["PretrainedModelUri"]
        assert channels(step)["pretrained"]["InputMode"] == "File"


def test_incremental_training_takes_no_other_weights() -> None:
    for pipeline in ("retrain", "tune"):
        step = resolved_steps(definition_of(FULL, pipeline))["Train"]
        assert channels(step).keys() == {"train", "validation", "model"}
        assert "use_pretrained_model" not in step["Arguments"]["HyperParameters"]
    assert "PretrainedModelUri" not in definition_of(FULL, "retrain")


def test_retraining_goes_on_from_the_base_model_that_was_checked(retrain: str) -> None:
    steps = resolved_steps(retrain, overrides={"BaseModelUri": "chosen", "ImageSize": "48", "NumLayers": "32"})
    assert steps["Resolve"]["Arguments"]["base_model_uri"] == "chosen"
    check = steps["CheckBase"]["Arguments"]
    assert check["dataset_uri"] == f"{EXECUTION}/preprocess/dataset"
    assert (check["num_layers"], check["image_size"]) == ("32", 48)
    model = channels(steps["Train"])["model"]
    assert uri(model) == check["base_model_uri"] == "s3://imgpipe-artifacts/models/chosen/model.tar.gz"
    assert model["ContentType"] == "application/x-sagemaker-model"
    metadata = steps["Register"]["Arguments"]["CustomerMetadataProperties"]
    assert (metadata["base_version"], metadata["base_model_uri"]) == ("3", uri(model))


def test_a_base_model_brings_its_weights_and_the_card_says_no_other() -> None:
    """Of the built-in image, which offers pre-trained weights otherwise."""
    retrain = definition_of("prod", "retrain")
    assert "UsePretrainedModel" not in retrain
    assert "use_pretrained_model" not in retrain
    assert "UsePretrainedModel" in definition_of("prod", "train")


def test_package_is_told_the_network_for_artifacts_without_a_record(definition: str) -> None:
    package = resolved_steps(definition, overrides={"NumLayers": "50", "ImageSize": "96"})["Package"]["Arguments"]
    assert package["AppSpecification"]["ContainerArguments"][:4] == ["--num-layers", "50", "--image-shape", "3,96,96"]


def test_an_execution_chooses_how_precise_the_served_model_is(definition: str) -> None:
    changed = {"ModelPrecision": "int8", "MaxAccuracyDrop": "0.02"}
    package = resolved_steps(definition, overrides=changed)["Package"]["Arguments"]
    options = ["--precision", "int8", "--max-accuracy-drop", "0.02"]
    assert package["AppSpecification"]["ContainerArguments"][4:8] == options


def test_what_the_gate_asks_holds_for_a_quantised_model_too(own: str) -> None:
    package = resolved_steps(own, overrides={"AccuracyThreshold": "0.87"})["Package"]["Arguments"]
    assert package["AppSpecification"]["ContainerArguments"][8:] == ["--min-accuracy", "0.87"]


def test_the_base_model_is_the_newest_approved_one_unless_told_otherwise(retrain: str, own: str) -> None:
    [parameter] = [item for item in json.loads(retrain)["Parameters"] if item["Name"] == "BaseModelUri"]
    assert parameter["DefaultValue"] == "latest-approved"
    assert "BaseModelUri" not in own
    assert "base_model_uri" not in resolved_steps(own)["Resolve"]["Arguments"]


def test_tuning_searches_the_ranges_and_everything_else_is_fixed(tune: str) -> None:
    arguments = resolved_steps(tune, overrides={"TuningMaxJobs": "4", "Seed": "7"})["Tune"]["Arguments"]
    config = arguments["HyperParameterTuningJobConfig"]
    assert config["ResourceLimits"]["MaxNumberOfTrainingJobs"] == 4
    assert config["RandomSeed"] == 7
    assert config["HyperParameterTuningJobObjective"] == {"Type": "Maximize", "MetricName": "validation:accuracy"}
    searched = {item["Name"] for kind in config["ParameterRanges"].values() for item in kind}
    assert searched == {"learning_rate", "weight_decay", "optimizer"}
    fixed = arguments["TrainingJobDefinition"]["StaticHyperParameters"]
    assert not searched & fixed.keys()
    assert {"epochs", "momentum", "num_classes", "image_shape"} <= fixed.keys()
    assert not {"LearningRate", "WeightDecay", "Optimizer"} & {item["Name"] for item in json.loads(tune)["Parameters"]}


def test_a_tuning_job_of_the_built_in_image_brings_no_metrics_of_ours(tune: str) -> None:
    builtin = resolved_steps(definition_of("prod", "tune"))["Tune"]["Arguments"]["TrainingJobDefinition"]
    own = resolved_steps(tune)["Tune"]["Arguments"]["TrainingJobDefinition"]
    assert "MetricDefinitions" not in builtin["AlgorithmSpecification"]
    assert {item["Name"] for item in own["AlgorithmSpecification"]["MetricDefinitions"]} == METRICS.keys()


def test_hyperbands_epochs_reach_the_service() -> None:
    settings = PipelineSettings.model_validate({"tune": {"strategy": "Hyperband", "hyperband_max_epochs": 20}})
    definition = build_definition(settings, pipeline="tune", region="us-east-1")
    config = resolved_steps(definition)["Tune"]["Arguments"]["HyperParameterTuningJobConfig"]
    assert config["StrategyConfig"] == {"HyperbandStrategyConfig": {"MinResource": 2, "MaxResource": 20}}


def test_warm_start_early_stopping_and_whole_numbers_reach_the_service() -> None:
    arguments = resolved_steps(definition_of(FULL, "tune"))["Tune"]["Arguments"]
    config = arguments["HyperParameterTuningJobConfig"]
    assert config["TrainingJobEarlyStoppingType"] == "Auto"
    [whole] = config["ParameterRanges"]["IntegerParameterRanges"]
    assert (whole["Name"], whole["MinValue"], whole["MaxValue"]) == ("mini_batch_size", "16", "64")
    assert arguments["WarmStartConfig"] == {
        "ParentHyperParameterTuningJobs": [
            {"HyperParameterTuningJobName": "tune-one"},
            {"HyperParameterTuningJobName": "tune-two"},
        ],
        "WarmStartType": "TransferLearning",
    }


def test_the_best_trial_is_evaluated_and_its_values_are_registered(tune: str) -> None:
    steps = resolved_steps(tune)
    inputs = {
        item["InputName"]: item["S3Input"]["S3Uri"] for item in steps["Evaluate"]["Arguments"]["ProcessingInputs"]
    }
    assert inputs["model"] == f"{EXECUTION}/tune/tune-001-abc/output/model.tar.gz"
    assert inputs["trials"] == steps["Trials"]["Arguments"]["output_uri"] == f"{EXECUTION}/trials"
    metadata = steps["Register"]["Arguments"]["CustomerMetadataProperties"]
    assert metadata["tuned_learning_rate"] == "0.001"
    assert (metadata["tuned_optimizer"], metadata["tuning_job"]) == ("sgd", "tune")


def test_the_best_trial_is_trained_on_where_the_settings_say_so() -> None:
    steps = resolved_steps(definition_of(FULL, "tune"), overrides={"TuningContinueEpochs": "9"})
    train = steps["Train"]
    assert uri(channels(train)["model"]) == f"{EXECUTION}/tune/tune-001-abc/output/model.tar.gz"
    assert train["Arguments"]["HyperParameters"]["epochs"] == "9"
    assert train["Arguments"]["HyperParameters"]["mini_batch_size"] == "16"
    inputs = {
        item["InputName"]: item["S3Input"]["S3Uri"] for item in steps["Evaluate"]["Arguments"]["ProcessingInputs"]
    }
    assert inputs["model"] == f"{EXECUTION}/train/job/output/model.tar.gz"


@pytest.mark.parametrize("pipeline", REGISTERING_PIPELINES)
def test_the_champion_is_staged_for_the_evaluation(pipeline: str) -> None:
    evaluate = resolved_steps(definition_of("dev", pipeline))["Evaluate"]["Arguments"]
    inputs = {item["InputName"]: item["S3Input"]["S3Uri"] for item in evaluate["ProcessingInputs"]}
    assert inputs["champion"] == "s3://imgpipe-artifacts/models/0123/package/"
    told = evaluate["AppSpecification"]["ContainerArguments"]
    assert told[told.index("--champion-version") + 1] == "3"
    assert told[told.index("--threshold-precision") + 1] == "0.95"


def test_every_gate_is_a_condition_in_its_own_direction_with_a_parameter_of_its_own(full: str) -> None:
    conditions = resolved_steps(full)["Gate"]["Arguments"]["Conditions"]
    kinds = [(item["Type"], item["RightValue"]) for item in conditions]
    assert kinds == [
        ("GreaterThanOrEqualTo", 0.9),
        ("GreaterThanOrEqualTo", 0.85),
        ("GreaterThanOrEqualTo", 0.5),
        ("LessThanOrEqualTo", 0.05),
        ("LessThanOrEqualTo", 0.02),
    ]
    changed = {"MseThreshold": "0.01", "MacroF1Threshold": "0.99", "ChampionMargin": "0.5"}
    conditions = resolved_steps(full, overrides=changed)["Gate"]["Arguments"]["Conditions"]
    assert [item["RightValue"] for item in conditions] == [0.9, 0.99, 0.5, 0.01, 0.5]


def test_the_model_card_is_whole_json_with_numbers_and_hyperparameters(definition: str) -> None:
    card = resolved_steps(definition)["Register"]["Arguments"]["ModelCard"]
    content = json.loads(card["ModelCardContent"])
    assert card["ModelCardStatus"] == "Draft"
    assert len(card["ModelCardContent"]) < 100_000
    [group] = content["evaluation_details"][0]["metric_groups"]
    assert {item["name"]: item["value"] for item in group["metric_data"]} == {
        name: 0.91 if more else 0.04 for name, more in GATE_METRICS.items()
    }
    job = content["training_details"]["training_job_details"]
    values = {item["name"]: item["value"] for item in job["hyper_parameters"]}
    assert values["num_classes"] == "3"
    assert {"learning_rate", "optimizer", "epochs", "image_shape"} <= values.keys()
    assert content["additional_information"]["custom_details"]["train_images"] == "800"


def test_the_model_cards_texts_may_hold_quotes() -> None:
    use = 'Sorting "good" from\\bad\nimages'
    settings = PipelineSettings.model_validate({"registry": {"intended_use": use, "risk_rating": "Low"}})
    steps = resolved_steps(build_definition(settings, pipeline="train", region="us-east-1"))
    content = json.loads(steps["Register"]["Arguments"]["ModelCard"]["ModelCardContent"])
    assert content["intended_uses"]["intended_uses"] == use


def test_executions_are_trials_of_an_experiment_unless_that_is_switched_off(own: str, full: str) -> None:
    assert json.loads(own)["PipelineExperimentConfig"] == {
        "ExperimentName": {"Get": "Execution.PipelineName"},
        "TrialName": {"Get": "Execution.PipelineExecutionId"},
    }
    without = build_definition(PipelineSettings(experiments=False), pipeline="train", region="us-east-1")
    assert "PipelineExperimentConfig" not in without
    assert json.loads(full)["MlflowConfig"]["MlflowResourceArn"].endswith("/team")
    assert "MlflowConfig" not in own
