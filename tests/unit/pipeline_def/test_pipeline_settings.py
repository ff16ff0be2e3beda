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
        ({"train": {"image": "own"}}, "our own trainer uses no GPU"),
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
        ({"evaluate": {"accuracy_threshold": 1.5}}, "less than or equal to 1"),
        ({"input_prefix": "/leading"}, "String should match pattern"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PipelineSettings.model_validate(settings)


def test_our_own_trainer_takes_no_augmentation_and_any_instance() -> None:
    train = {"image": "own", "instance_type": "ml.c5.xlarge", "hyperparameters": {"augmentation_type": "none"}}
    assert PipelineSettings.model_validate({"train": train}).train.image == "own"


def test_the_built_in_algorithm_is_the_default() -> None:
    assert PipelineSettings().train.image == "builtin"
