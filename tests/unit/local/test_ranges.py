"""Ranges of parameters: what is refused before an execution starts, and that the settings know the same ranges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from local.errors import LocalRunError
from local.executor.definition import Definition
from local.ranges import check_ranges, check_values
from pipeline_def.declarations import threshold_name
from pipeline_def.settings import (
    MAX_GROUP_BY_CHARACTERS,
    EvaluateSettings,
    PackageSettings,
    PreprocessSettings,
    TransformSettings,
    TuneSettings,
)
from pipeline_def.settings.evaluate import GATE_METRICS

ROOT = Path(__file__).parents[3]
SETTINGS = {
    "ChampionMargin": EvaluateSettings.model_fields["champion_margin"],
    "EvaluationTopK": EvaluateSettings.model_fields["top_k"],
    "ImageSize": PreprocessSettings.model_fields["image_size"],
    "ImagesPerClass": PreprocessSettings.model_fields["images_per_class"],
    "MaxAccuracyDrop": PackageSettings.model_fields["max_accuracy_drop"],
    "MaxRejectedFraction": PreprocessSettings.model_fields["max_rejected_fraction"],
    "Quality": PreprocessSettings.model_fields["quality"],
    "ResizeShortSide": PreprocessSettings.model_fields["resize"],
    "Seed": PreprocessSettings.model_fields["seed"],
    "ThresholdPrecision": EvaluateSettings.model_fields["threshold_precision"],
    "TuningMaxJobs": TuneSettings.model_fields["max_jobs"],
    "MaxConcurrentTransforms": TransformSettings.model_fields["max_concurrent_transforms"],
    "TransformInstanceCount": TransformSettings.model_fields["instance_count"],
    "TransformTopK": TransformSettings.model_fields["top_k"],
}
THRESHOLDS = {threshold_name(metric): metric for metric in GATE_METRICS}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"AccuracyThreshold": 7.0}, "AccuracyThreshold: 7.0 is out of range, it must be at least 0 and at most 1"),
        ({"ImageSize": 8}, "ImageSize: 8 is out of range, it must be at least 16 and at most 1024"),
        ({"ValidationFraction": 0.0}, "ValidationFraction: 0.0 is out of range, it must be above 0 and below 1"),
        ({"EvaluationTopK": 1}, "at least 2 and at most 100"),
        ({"TuningMaxJobs": 751}, "TuningMaxJobs: 751 is out of range, it must be at least 1 and at most 750"),
        ({"LogLossThreshold": -1.0}, "LogLossThreshold: -1.0 is out of range, it must be at least 0"),
        ({"Epochs": -1}, "Epochs: -1 is out of range, it must be at least 1"),
        ({"LearningRate": 7.0}, "LearningRate: 7.0 is out of range"),
        (
            {"GroupBy": "track_("},
            r"GroupBy: 'track_\(' is not a regular expression: missing \), unterminated subpattern",
        ),
        (
            {"GroupBy": "a{99999999999999}"},
            "GroupBy: .* is not a regular expression: the repetition number is too large",
        ),
        ({"GroupBy": "a\n"}, r"GroupBy: 'a\\n' must be one line: write \\n"),
        ({"GroupBy": "x" * 246}, "GroupBy: 246 characters are too many, at most 245"),
        ({"LrSchedulerStep": "a,b"}, "LrSchedulerStep: 'a,b' is not of the form"),
    ],
)
def test_a_value_out_of_range_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(LocalRunError, match=message):
        check_ranges(values)


def test_values_within_their_ranges_and_values_without_one_pass() -> None:
    check_ranges(
        {"AccuracyThreshold": 1, "ImageSize": 16, "Epochs": 1, "LrSchedulerStep": "5,7", "InputDataUri": "s3://x"}
    )
    check_ranges({"GroupBy": ""})
    check_ranges({"GroupBy": r"-[^/]+/(\d{5})_\d+\.ppm$"})


def _limits(field: FieldInfo) -> dict[str, Any]:
    names = {"ge": "min", "gt": "min", "le": "max", "lt": "max"}
    found: dict[str, Any] = {}
    for item in field.metadata:
        for bound, name in names.items():
            if getattr(item, bound, None) is not None:
                found[name] = getattr(item, bound)
                if bound in ("gt", "lt"):
                    found[f"exclusive_{name}"] = True
    return found


@pytest.mark.parametrize("name", SETTINGS)
def test_a_parameters_range_is_that_of_its_setting(name: str) -> None:
    ranges = json.loads((ROOT / "pipeline_def" / "ranges.json").read_text(encoding="utf-8"))
    assert ranges[name] == _limits(SETTINGS[name])


def test_the_fractions_of_the_splits_exclude_what_the_settings_refuse() -> None:
    ranges = json.loads((ROOT / "pipeline_def" / "ranges.json").read_text(encoding="utf-8"))
    for name in ("TestFraction", "ValidationFraction"):
        assert ranges[name] == {"min": 0, "max": 1, "exclusive_min": True, "exclusive_max": True}
    others = {"TestFraction", "ValidationFraction", "GroupBy", "TuningContinueEpochs", "ModelVersion"}
    assert ranges.keys() == SETTINGS.keys() | THRESHOLDS.keys() | others


@pytest.mark.parametrize(("name", "metric"), THRESHOLDS.items())
@pytest.mark.parametrize("value", [-0.1, 0.0, 1.0, 1.1])
def test_a_threshold_is_refused_where_the_setting_refuses_it(name: str, metric: str, value: float) -> None:
    def is_refused(check: Callable[[], object]) -> bool:
        try:
            check()
        except (LocalRunError, ValidationError):
            return True
        return False

    assert is_refused(lambda: check_ranges({name: value})) == is_refused(
        lambda: EvaluateSettings(gates={metric: value})
    )


def test_training_on_after_tuning_cannot_be_switched_off_by_its_parameter() -> None:
    check_ranges({"TuningContinueEpochs": 1})
    with pytest.raises(LocalRunError, match="TuningContinueEpochs: 0 is out of range, it must be at least 1"):
        check_ranges({"TuningContinueEpochs": 0})


def test_what_a_group_may_be_is_what_the_setting_takes() -> None:
    ranges = json.loads((ROOT / "pipeline_def" / "ranges.json").read_text(encoding="utf-8"))
    assert ranges["GroupBy"] == {"regular_expression": True, "max_length": MAX_GROUP_BY_CHARACTERS}


def test_a_tuning_job_runs_no_more_jobs_at_a_time_than_in_all() -> None:
    limits = {"MaxNumberOfTrainingJobs": {"Get": "Parameters.TuningMaxJobs"}, "MaxParallelTrainingJobs": 2}
    step = {
        "Name": "Tune",
        "Type": "Tuning",
        "Arguments": {"HyperParameterTuningJobConfig": {"ResourceLimits": limits}},
    }
    parameters = [{"Name": "TuningMaxJobs", "Type": "Integer", "DefaultValue": 10}]
    definition = Definition.parse(json.dumps({"Version": "2020-12-01", "Parameters": parameters, "Steps": [step]}))
    check_values(definition, {"TuningMaxJobs": 2})
    with pytest.raises(LocalRunError, match="TuningMaxJobs: 1 is below the 2 jobs that step Tune runs at a time"):
        check_values(definition, {"TuningMaxJobs": 1})
