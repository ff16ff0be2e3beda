"""Settings of the pipeline: what is refused, and with which words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from pipeline_def.settings import PipelineSettings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preproces": {}}, "preproces"),
        ({"preprocess": {"resize": 100, "image_size": 224}}, "resize 100 is below image_size 224"),
        ({"preprocess": {"validation_fraction": 0.6, "test_fraction": 0.4}}, "keep it below 1"),
        ({"preprocess": {"test_fraction": 0.0}}, "must be above 0"),
        ({"preprocess": {"quality": 0}}, "greater than or equal to 1"),
        ({"preprocess": {"record_format": "gif"}}, "'jpg' or 'png'"),
        ({"preprocess": {"instance_count": 0}}, "greater than or equal to 1"),
        ({"preprocess": {"instance_count": 101}}, "less than or equal to 100"),
        ({"preprocess": {"crop": "centre"}}, "'none' or 'square'"),
        (
            {"preprocess": {"group_by": "track_([0-9]+"}},
            r"group_by 'track_\(\[0-9\]\+' is not a regular expression: .* at",
        ),
        ({"preprocess": {"group_by": "a{99999999999999}"}}, "is not a regular expression: the repetition number"),
        ({"preprocess": {"group_by": "one\ntwo"}}, r"must be one line: write \\n"),
        ({"preprocess": {"group_by": "one\n"}}, r"must be one line: write \\n"),
        ({"preprocess": {"group_by": "x" * 246}}, "at most 245 characters"),
        ({"train": {"image": "own", "instance_type": "c5.xlarge"}}, "String should match pattern"),
        (
            {"train": {"instance_type": "ml.c5.xlarge"}},
            "trains on GPU instances only .*; choose one, or set image: own",
        ),
        ({"train": {"hyperparameters": {"learningrate": 0.1}}}, "did you mean learning_rate?"),
        (
            {"train": {"input_mode": "FastFile"}},
            "input_mode FastFile is not for the builtin image: it takes File or Pipe",
        ),
        (
            {"train": {"image": "own", "instance_type": "ml.c5.xlarge", "input_mode": "Pipe"}},
            "input_mode Pipe is not for the own image: it takes File or FastFile",
        ),
        ({"train": {"spot": True, "max_wait_minutes": 10}}, "max_wait_minutes 10 is below max_runtime_minutes 720"),
        (
            {"train": {"image": "own", "hyperparameters": {"use_pretrained_model": 1}}},
            "needs pretrained_model_uri, the model.tar.gz to start from",
        ),
        ({"train": {"pretrained_model_uri": "s3://bucket/model.tar.gz"}}, "pretrained_model_uri is for our trainer"),
        ({"train": {"image": "own", "pretrained_model_uri": "model.tar.gz"}}, "String should match pattern"),
        (
            {
                "train": {
                    "image": "own",
                    "instance_type": "ml.c5.xlarge",
                    "hyperparameters": {"precision_dtype": "float16"},
                }
            },
            "precision_dtype float16 needs a GPU, and instance_type ml.c5.xlarge has none",
        ),
        (
            {"train": {"hyperparameters": {"checkpoint_frequency": 9, "epochs": 3}}},
            "checkpoint_frequency 9 is above epochs 3",
        ),
        (
            {"train": {"image": "own", "instance_count": 2, "hyperparameters": {"kv_store": "dist_async"}}},
            "kv_store dist_async is not for several instances with image own",
        ),
        ({"train": {"hyperparameters": {"checkpoint_frequency": 50}}}, "checkpoint_frequency 50 is above epochs 30"),
        (
            {"train": {"hyperparameters": {"checkpoint_frequency": 9}}, "tune": {"continue_epochs": 5}},
            "checkpoint_frequency 9 is above tune.continue_epochs 5",
        ),
        ({"train": {"hyperparameters": {"use_weighted_loss": 1}}}, "set multi_label: 1, or remove it"),
        ({"train": {"image": "own", "hyperparameters": {"multi_label": 1, "top_k": 5}}}, "top_k is for images of one"),
        (
            {"train": {"image": "own", "hyperparameters": {"lr_scheduler_step": "20,10"}}},
            "lr_scheduler_step 20,10: the epochs must rise",
        ),
        ({"train": {"hyperparameters": {"learning_rate": float("nan")}}}, "learning_rate: nan is not allowed"),
        (
            {"train": {"image": "own", "instance_type": "ml.g6.xlarge"}},
            "ml.g6.xlarge: our trainer does not know its accelerator",
        ),
        ({"evaluate": {"gates": {"log_loss": float("inf")}}}, "log_loss: threshold inf is out of range"),
        ({"train": {"profiler": {"rules": ["GPUBottleneck"]}}}, "'ProfilerReport', 'BatchSize'"),
        ({"train": {"profiler": {"rules": ["BatchSize", "BatchSize"]}}}, "BatchSize is named twice"),
        ({"train": {"instance_count": 0}}, "greater than or equal to 1"),
        ({"tracking_server_arn": "arn:aws:s3:::bucket"}, "String should match pattern"),
        ({"train": {"hyperparameters": {"use_pretrained_model": 1, "num_layers": 20}}}, "num_layers out of 18, 34"),
        (
            {"preprocess": {"image_size": 128}, "train": {"hyperparameters": {"use_pretrained_model": 1}}},
            "size 224 and",
        ),
        ({"train": {"hyperparameters": {"resize": 256}}}, "set preprocess.resize"),
        ({"train": {"hyperparameters": {"num_classes": 3}}}, "cannot be set: Preprocess counts the class folders"),
        ({"train": {"hyperparameters": {"epochs": 0}}}, "it takes a whole number from 1"),
        ({"train": {"hyperparameters": {"epochs": 2.5}}}, "it takes a whole number from 1"),
        ({"train": {"hyperparameters": {"epochs": "5"}}}, "it takes a whole number from 1"),
        ({"train": {"hyperparameters": {"num_layers": 19}}}, "it takes one of 18, 20, 32"),
        ({"train": {"hyperparameters": {"optimizer": "adamw"}}}, "it takes one of sgd, adam, rmsprop, nag"),
        ({"train": {"hyperparameters": {"lr_scheduler_step": "ten"}}}, "text of the form"),
        ({"train": {"hyperparameters": {"augmentation_type": "none"}}}, "it takes one of crop, crop_color"),
        ({"evaluate": {"gates": {"accuracy": 1.5}}}, "accuracy: threshold 1.5 is out of range"),
        ({"evaluate": {"gates": {"accurracy": 0.5}}}, "metric accurracy is unknown: did you mean accuracy?"),
        ({"evaluate": {"gates": {"latency": 0.5}}}, "metric latency is unknown: known ones: accuracy, top_k_accuracy"),
        ({"evaluate": {"gates": {}}}, "at least 1 item"),
        ({"evaluate": {"champion_margin": -0.1}}, "greater than or equal to 0"),
        ({"evaluate": {"threshold_precision": 0}}, "greater than 0"),
        ({"input_prefix": "/leading"}, "String should match pattern"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PipelineSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"ranges": {"learning_rat": [0.1]}}, "learning_rat cannot be tuned: did you mean learning_rate?"),
        ({"ranges": {"epochs": {"min": 1, "max": 5}}}, "epochs cannot be tuned: it can be learning_rate, mini_batch"),
        ({"ranges": {}}, "at least 1 item"),
        ({"ranges": {"learning_rate": {"min": 0.1, "max": 0.01}}}, "upside down: min 0.1 must be below max 0.01"),
        (
            {"ranges": {"learning_rate": {"min": 0.01, "max": 2}}},
            "learning_rate: 2.0 is not allowed, it takes a number",
        ),
        ({"ranges": {"optimizer": ["sgd", "adamw"]}}, "adamw.*takes one of sgd, adam, rmsprop, nag"),
        ({"ranges": {"optimizer": ["sgd", "sgd"]}}, "name each value once"),
        ({"ranges": {"optimizer": {"min": 0, "max": 1}}}, "takes a list of values out of sgd, adam"),
        (
            {"ranges": {"mini_batch_size": {"min": 1.5, "max": 8}}},
            "mini_batch_size: 1.5 is not allowed, it takes a whole",
        ),
        (
            {"ranges": {"momentum": {"min": 0, "max": 0.9, "scaling": "Logarithmic"}}},
            "Logarithmic needs min above 0, it is 0: raise it, or use Linear",
        ),
        (
            {"ranges": {"momentum": {"min": 0.1, "max": 1, "scaling": "ReverseLogarithmic"}}},
            "ReverseLogarithmic needs a range from 0 up to below 1",
        ),
        ({"max_jobs": 2, "max_parallel_jobs": 3}, "max_parallel_jobs 3 is above the 2 jobs there are"),
        ({"max_jobs": 751}, "less than or equal to 750"),
        ({"strategy": "Hyperband", "early_stopping": "Auto"}, "early_stopping Auto is not for Hyperband"),
        (
            {"strategy": "Hyperband", "hyperband_min_epochs": 5, "hyperband_max_epochs": 5},
            "hyperband_max_epochs 5 must be above hyperband_min_epochs 5",
        ),
        ({"strategy": "Hyperband", "hyperband_min_epochs": 30}, "must be below the 30 epochs of a job"),
        ({"strategy": "Grid"}, "ranges.learning_rate: Grid takes lists of values only"),
        (
            {"strategy": "Grid", "ranges": {"optimizer": ["sgd"], "momentum": [0.9]}},
            "max_parallel_jobs 2 is above the 1 jobs",
        ),
        (
            {
                "strategy": "Grid",
                "ranges": {"momentum": [x / 100 for x in range(28)], "gamma": [x / 100 for x in range(28)]},
            },
            "make 784 combinations, a tuning job runs 750",
        ),
        ({"ranges": {"momentum": [x / 100 for x in range(31)]}}, "momentum: 31 values are too many, a list takes 30"),
        ({"ranges": {"momentum": {"min": 0.1, "max": float("nan")}}}, "finite number"),
        ({"ranges": {"momentum": [float("inf"), 0.1]}}, "momentum: inf is not allowed"),
        ({"warm_start": {"parents": ["a", "a"]}}, "name each parent once"),
        ({"warm_start": {"parents": ["-".join("abcdefghijklmnopq")]}}, "at most 32 characters"),
        (
            {"strategy": "Hyperband", "warm_start": {"parents": ["a"]}},
            "warm_start is for Bayesian and Random search, not for Hyperband",
        ),
        ({"warm_start": {"parents": []}}, "at least 1 item"),
        ({"warm_start": {"parents": list("abcdef")}}, "at most 5 items"),
        ({"warm_start": {"parents": ["-job"]}}, "String should match pattern"),
    ],
)
def test_a_rule_of_the_tuning_service_is_kept(tune: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PipelineSettings.model_validate({"tune": tune})


def test_a_grid_runs_all_its_combinations() -> None:
    ranges = {"optimizer": ["sgd", "adam"], "learning_rate": [0.1, 0.01, 0.001]}
    settings = PipelineSettings.model_validate({"tune": {"strategy": "Grid", "ranges": ranges}})
    assert settings.tune.number_of_jobs == 6


@pytest.mark.parametrize(("instance_type", "gpu"), [("ml.g4dn.xlarge", True), ("ml.c5.xlarge", False)])
def test_our_own_trainer_takes_its_gpu_target_on_a_gpu(instance_type: str, gpu: bool) -> None:
    settings = PipelineSettings.model_validate({"train": {"image": "own", "instance_type": instance_type}})
    assert settings.train.on_gpu_trainer is gpu
    assert not PipelineSettings().train.on_gpu_trainer


def test_our_own_trainer_takes_no_augmentation_and_any_instance() -> None:
    train = {"image": "own", "instance_type": "ml.c5.xlarge", "hyperparameters": {"augmentation_type": "none"}}
    assert PipelineSettings.model_validate({"train": train}).train.image == "own"


def test_the_built_in_algorithm_is_the_default() -> None:
    assert PipelineSettings().train.image == "builtin"
