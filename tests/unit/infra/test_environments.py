"""Environment files: what loads, and the one line that each mistake gets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from infra.environments import DIRECTORY, available_environments, load_environment, requested_environment
from infra.errors import InfraError
from infra.settings import EnvironmentSettings

GOOD = "region: us-east-1\nretain_on_destroy: false\n"


@pytest.fixture
def load(tmp_path):
    """Loads a file of the given text as environment `dev`; tmp_path stands for environments/."""

    def write_and_load(text: str) -> EnvironmentSettings:
        (tmp_path / "dev.yaml").write_text(text)
        return load_environment("dev", directory=tmp_path)

    return write_and_load


def test_every_environment_of_the_repository_loads():
    assert available_environments() == ["dev", "prod", "staging"]
    kept = {name: load_environment(name).retain_on_destroy for name in available_environments()}
    assert kept == {"dev": False, "staging": True, "prod": True}
    images = {name: load_environment(name).pipeline.train.image for name in kept}
    assert images == {"dev": "own", "staging": "builtin", "prod": "builtin"}


def test_a_short_file_has_the_defaults(load):
    settings = load(GOOD)
    assert (settings.environment, settings.prefix) == ("dev", "imgpipe-dev")
    assert settings.account is None
    assert settings.permissions_boundary is None
    assert settings.tags == {}


def test_every_setting_is_described():
    assert all(field.description for field in EnvironmentSettings.model_fields.values())


def test_settings_cannot_change_after_loading(load):
    with pytest.raises(ValidationError):
        load(GOOD).region = "eu-west-1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD + "retain_on_delete: true\n",
            ["dev.yaml: unknown key retain_on_delete", "did you mean retain_on_destroy?", "allowed: account"],
        ),
        (GOOD + "zzz: 1\n", ["unknown key zzz;", "allowed: account"]),
        (GOOD + "pipeline:\n  trian: {}\n", ["unknown key pipeline.trian; did you mean train?"]),
        (GOOD + "pipeline:\n  train:\n    imag: own\n", ["unknown key pipeline.train.imag; did you mean image?"]),
        (
            GOOD + "pipeline:\n  tune:\n    ranges:\n      learning_rate: {min: 0.1, max: 0.2, scale: Linear}\n",
            [
                "unknown key pipeline.tune.ranges.learning_rate.scale; did you mean scaling?",
                "allowed: max, min, scaling",
            ],
        ),
        (
            GOOD + "pipeline:\n  tune:\n    ranges:\n      learning_rate: {min: 0.2, max: 0.1}\n",
            ["pipeline.tune.ranges.learning_rate: range is upside down: min 0.2 must be below max 0.1"],
        ),
        (
            GOOD + "pipeline:\n  tune:\n    warm_start: {parent: [a]}\n",
            ["unknown key pipeline.tune.warm_start.parent; did you mean parents?"],
        ),
        (
            GOOD + "pipeline:\n  evaluate:\n    gates: {acuracy: 0.9}\n",
            ["pipeline.evaluate.gates: metric acuracy is unknown: did you mean accuracy?"],
        ),
        (
            GOOD + "pipeline:\n  tune: {max_jobs: 1, max_parallel_jobs: 2}\n",
            ["pipeline.tune: max_parallel_jobs 2 is above the 1 jobs there are"],
        ),
        (
            GOOD + "pipeline:\n  train:\n    hyperparameters: {learning_rate: .nan}\n",
            ["learning_rate: nan is not allowed"],
        ),
        (GOOD + "pipeline:\n  train:\n    image: gpu\n", ["pipeline.train.image", "'builtin' or 'own'", '"gpu"']),
        ("retain_on_destroy: false\n", ["region: is required"]),
        ("region: us-east-1\n", ["retain_on_destroy: is required"]),
        ("region: virginia\nretain_on_destroy: false\n", ["region: must match pattern", '"virginia"']),
        (GOOD + "account: 123456789012\n", ["account: must be a valid string", "123456789012"]),
        (GOOD + 'account: "1234"\n', ["account: must match pattern"]),
        (GOOD + "project: My Project\n", ["project: must match pattern"]),
        (GOOD + "project: trailing-\n", ["project: must match pattern"]),
        (
            GOOD + "execution_expiry_days: 0\n",
            ["execution_expiry_days: must be greater than or equal to 1", "(found 0)"],
        ),
        (GOOD + 'execution_expiry_days: "9"\n', ["execution_expiry_days: must be a valid integer", '"9"']),
        (GOOD + "log_retention_days: 8\n", ["log_retention_days: must be 1, 3, 5, 7"]),
        (GOOD + "max_parallel_steps: 51\n", ["max_parallel_steps: must be less than or equal to 50"]),
        (GOOD + "permissions_boundary: 'arn:aws:s3:::x'\n", ["permissions_boundary: must match pattern"]),
        (
            GOOD + "account: '123456789012'\npermissions_boundary: arn:aws:iam::999999999999:policy/B\n",
            ["permissions_boundary is a policy of account 999999999999, not of account 123456789012"],
        ),
        (GOOD + "tags:\n  project: other\n", ["tags: project cannot be set"]),
        (GOOD + "tags:\n  'aws:x': y\n", ["tags: aws:x cannot be set"]),
        (GOOD + "tags:\n  team: 'a${b}'\n", ["tags.team: must not contain '${'"]),
        (
            GOOD + "pipeline:\n  input_prefix: 'datasets/${DataBucket}'\n",
            ["pipeline.input_prefix: must not contain '${'"],
        ),
        (
            GOOD
            + "serving: {capture_percent: 1, capture_expiry_days: 7}\nmonitoring: {every_hours: 168, label_days: 7}\n",
            ["serving.capture_expiry_days 7 must be 8 or more with monitoring.every_hours 168", "compare more often"],
        ),
        (
            GOOD
            + "serving: {capture_percent: 1, capture_expiry_days: 2}\nmonitoring: {every_hours: 25, label_days: 2}\n",
            ["serving.capture_expiry_days 2 must be 3 or more with monitoring.every_hours 25"],
        ),
        (
            GOOD + "execution_expiry_days: 13\npipeline: {cache_days: 7}\nserving: {capture_percent: 1}\n",
            ["monitoring.label_days 14 must be 13 or less", "execution_expiry_days", "lower it, or raise those"],
        ),
        (
            GOOD + "serving: {capture_percent: 1, capture_expiry_days: 9}\n",
            ["monitoring.label_days 14 must be 9 or less", "serving.capture_expiry_days"],
        ),
        (
            GOOD + "monitoring: {retrain_on_drift: true}\n",
            ["monitoring.retrain_on_drift true needs captured requests", "serving.capture_percent to 1 or more"],
        ),
        (
            GOOD + "serving: {kind: serverless}\nmonitoring: {retrain_on_drift: true}\n",
            ["monitoring.retrain_on_drift true needs captured requests", "serving.kind realtime"],
        ),
        (GOOD + "environment: prod\n", ["environment: the file's name says it"]),
        (GOOD + "region: eu-west-1\n", ["line 3: key region is written twice"]),
        (GOOD + "pipeline:\n  train: {}\n  train: {}\n", ["line 5: key train is written twice"]),
        ("region: [us-east-1\n", ["dev.yaml: line"]),
        ("", ["must be a mapping of settings"]),
        ("- region\n", ["must be a mapping of settings"]),
        ("1: 2\n", ["must be a mapping of settings"]),
        (GOOD + "retain: 1\nnope: 2\n", ["unknown key retain", "(and 1 more)"]),
    ],
)
def test_each_mistake_is_one_line(load, text, expected):
    with pytest.raises(InfraError) as caught:
        load(text)
    message = str(caught.value)
    assert "\n" not in message
    for part in expected:
        assert part in message


@pytest.mark.parametrize(
    "sections",
    [
        "serving: {capture_percent: 1, capture_expiry_days: 8}\nmonitoring: {every_hours: 168, label_days: 8}\n",
        "serving: {capture_percent: 1, capture_expiry_days: 2}\nmonitoring: {every_hours: 24, label_days: 2}\n",
        "serving: {capture_expiry_days: 1}\nmonitoring: {every_hours: 168}\n",
        "execution_expiry_days: 13\npipeline: {cache_days: 7}\n",
        "serving: {capture_percent: 1}\nmonitoring: {retrain_on_drift: true}\n",
    ],
)
def test_what_just_fits_or_needs_no_captures_loads(load, sections):
    load(GOOD + sections)


@pytest.mark.parametrize(("executions", "captures", "expected"), [(90, 30, 30), (20, 30, 20)])
def test_results_of_the_monitor_go_with_what_they_show(load, executions, captures, expected):
    sections = f"pipeline: {{cache_days: 7}}\nserving: {{capture_expiry_days: {captures}}}\n"
    assert load(f"{GOOD}execution_expiry_days: {executions}\n{sections}").monitor_expiry_days == expected


def test_names_that_do_not_fit_a_bucket():
    values = {"environment": "staging", "region": "ap-southeast-1", "retain_on_destroy": True}
    with pytest.raises(ValidationError, match="project a-very-long-project-x is 4 characters too long for environment"):
        EnvironmentSettings.model_validate(values | {"project": "a-very-long-project-x"})


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "dev.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InfraError, match=r"dev\.yaml"):
        load_environment("dev", directory=tmp_path)


@pytest.mark.parametrize("name", [None, "", "qa", "../dev"])
def test_unknown_environment(name):
    with pytest.raises(InfraError, match="one of dev, prod, staging"):
        load_environment(name, directory=DIRECTORY)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"IMGPIPE_ENV": "dev"}, "dev"),
        ({"CDK_CONTEXT_JSON": '{"env": "prod"}', "IMGPIPE_ENV": "dev"}, "prod"),
        ({"CDK_CONTEXT_JSON": "{}", "IMGPIPE_ENV": "dev"}, "dev"),
    ],
)
def test_the_requested_environment(environ, expected):
    assert requested_environment(environ) == expected


def test_a_reused_result_must_not_outlive_its_files(tmp_path):
    (tmp_path / "qa.yaml").write_text(
        "region: eu-west-1\nretain_on_destroy: false\nexecution_expiry_days: 14\npipeline: {cache_days: 14}\n"
    )
    with pytest.raises(InfraError, match="cache_days 14 must be below execution_expiry_days 14"):
        load_environment("qa", directory=tmp_path)
