"""Hyperparameters are parsed, defaulted and refused as the documentation's table says."""

import dataclasses
import json
from pathlib import Path

import pytest

from common.contract import ContainerError
from train import hyperparameters

REQUIRED = {"num_classes": "10", "num_training_samples": "1439"}
# From the documentation page, independently of the table file; None is "no default value".
DOCUMENTED_DEFAULTS = {
    "augmentation_type": None,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "checkpoint_frequency": None,
    "early_stopping": "False",
    "early_stopping_min_epochs": 10,
    "early_stopping_patience": 5,
    "early_stopping_tolerance": 0.0,
    "epochs": 30,
    "eps": 1e-8,
    "gamma": 0.9,
    "image_shape": "3,224,224",
    "kv_store": None,
    "learning_rate": 0.1,
    "lr_scheduler_factor": 0.1,
    "lr_scheduler_step": None,
    "mini_batch_size": 32,
    "momentum": 0.9,
    "multi_label": 0,
    "num_layers": 152,
    "optimizer": "sgd",
    "precision_dtype": "float32",
    "resize": None,
    "top_k": None,
    "use_pretrained_model": 0,
    "use_weighted_loss": 0,
    "weight_decay": 0.0001,
}
FIELDS = {
    "name", "type", "required", "default", "min", "max", "exclusive_min", "exclusive_max",
    "choices", "own_choices", "pattern", "description", "images",
}  # fmt: skip


def parse(**given: str) -> hyperparameters.Hyperparameters:
    return hyperparameters.parse(REQUIRED | given)


def test_table_holds_the_documented_names_and_defaults() -> None:
    builtin = [entry for entry in hyperparameters.table() if "builtin" in entry["images"]]
    assert {entry["name"] for entry in builtin if entry["required"]} == set(REQUIRED)
    assert {entry["name"]: entry["default"] for entry in builtin if not entry["required"]} == DOCUMENTED_DEFAULTS


def test_table_entries_have_every_field_and_only_the_own_image_has_extras() -> None:
    for entry in hyperparameters.table():
        assert set(entry) == FIELDS
        assert entry["description"]
    assert [entry["name"] for entry in hyperparameters.table() if entry["images"] == ["own"]] == ["seed"]


def test_defaults_keep_their_own_rules() -> None:
    for entry in hyperparameters.table():
        if entry["default"] is not None:
            assert getattr(parse(**{entry["name"]: str(entry["default"])}), entry["name"]) is not None


def test_table_and_parsed_fields_are_the_same() -> None:
    fields = {field.name for field in dataclasses.fields(hyperparameters.Hyperparameters)}
    assert fields == {entry["name"] for entry in hyperparameters.table()}


def test_values_are_typed() -> None:
    parsed = parse(image_shape="3, 32,48", lr_scheduler_step="10, 20", early_stopping="True", eps="1e-3", top_k="5")
    assert parsed.image_shape == (3, 32, 48)
    assert parsed.lr_scheduler_step == (10, 20)
    assert parsed.early_stopping is True
    assert (parsed.eps, parsed.top_k, parsed.num_classes) == (1e-3, 5, 10)


def test_without_values_there_is_no_augmentation_and_no_schedule() -> None:
    assert parse().augmentation_type is None
    assert parse(augmentation_type="none").augmentation_type is None
    assert parse().lr_scheduler_step == ()
    assert parse().early_stopping is False


def test_the_tuner_may_add_its_own_name() -> None:
    assert parse(_tuning_objective_metric="validation:accuracy").epochs == 30


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("learning_rte", "0.1", ["learning_rte", "did you mean learning_rate?"]),
        ("zzz", "0.1", ["zzz", "known are num_classes"]),
        ("epochs", "ten", ["epochs", "'ten'", "a whole number of at least 1"]),
        ("epochs", "1.5", ["epochs", "'1.5'"]),
        ("epochs", "0", ["epochs", "'0'", "at least 1"]),
        ("learning_rate", "fast", ["learning_rate", "a number of at least 0.0 and at most 1.0"]),
        ("learning_rate", "1.01", ["learning_rate", "'1.01'", "at most 1.0"]),
        ("learning_rate", "nan", ["learning_rate", "'nan'"]),
        ("momentum", "-0.1", ["momentum", "at least 0.0"]),
        ("optimizer", "lamb", ["optimizer", "sgd or adam or rmsprop or nag"]),
        ("num_layers", "19", ["num_layers", "'19'", "18 or 20"]),
        ("early_stopping", "true", ["early_stopping", "True or False"]),
        ("top_k", "1", ["top_k", "at least 2"]),
        ("image_shape", "32x32", ["image_shape", "'3,224,224'"]),
        ("image_shape", "1,28,28", ["image_shape", "'3,H,W'"]),
        ("lr_scheduler_step", "10;20", ["lr_scheduler_step", "'10,20'"]),
        ("lr_scheduler_step", "20,10", ["lr_scheduler_step", "must rise"]),
        ("checkpoint_frequency", "31", ["checkpoint_frequency", "epochs (30)"]),
        ("resize", "100", ["resize", "image_shape (224)"]),
        ("multi_label", "2", ["multi_label", "'2'", "0 or 1"]),
        ("use_weighted_loss", "1", ["use_weighted_loss is 1 with multi_label 0", "leave it out"]),
        ("precision_dtype", "float64", ["precision_dtype", "'float64'", "float32 or float16"]),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(name: str, value: str, parts: list[str]) -> None:
    with pytest.raises(ContainerError) as caught:
        parse(**{name: value})
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_missing_required_value_is_named(name: str) -> None:
    with pytest.raises(ContainerError, match=f"{name} is required; allowed: a whole number of at least 1"):
        hyperparameters.parse({key: value for key, value in REQUIRED.items() if key != name})


def test_a_value_that_is_no_string_is_refused() -> None:
    with pytest.raises(ContainerError, match=r'epochs is 5, a int; SageMaker passes strings, write "5"'):
        hyperparameters.parse(REQUIRED | {"epochs": 5})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not JSON"), ("[]", "holds a list"), (None, "is missing; at least num_classes")]
)
def test_a_broken_file_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "hyperparameters.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ContainerError, match=message) as caught:
        hyperparameters.load(path)
    assert str(path) in str(caught.value)


def test_a_file_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "hyperparameters.json"
    path.write_text(json.dumps(REQUIRED | {"epochs": "7"}))
    assert hyperparameters.load(path).epochs == 7


def test_top_k_needs_one_right_class() -> None:
    with pytest.raises(ContainerError, match=r"top_k is 2 with multi_label 1; .* leave it out"):
        parse(multi_label="1", top_k="2")


def test_several_labels_need_several_classes() -> None:
    with pytest.raises(ContainerError, match=r"num_classes is 1 with multi_label 1; .* at least 2 classes, raise it"):
        parse(multi_label="1", num_classes="1")


def test_everything_the_built_in_algorithm_knows_is_accepted() -> None:
    parsed = parse(multi_label="1", use_weighted_loss="1", use_pretrained_model="1", precision_dtype="float16")
    assert (parsed.multi_label, parsed.use_weighted_loss, parsed.use_pretrained_model) == (1, 1, 1)


def test_values_go_back_on_the_wire() -> None:
    parsed = parse(image_shape="3, 32,48", lr_scheduler_step="10,20", early_stopping="True", eps="1e-3")
    text = hyperparameters.on_the_wire(parsed)
    assert hyperparameters.parse(text) == parsed
    assert (text["image_shape"], text["lr_scheduler_step"]) == ("3,32,48", "10,20")
    assert (text["early_stopping"], text["eps"], text["epochs"]) == ("True", "0.001", "30")
    assert "top_k" not in text
    assert "lr_scheduler_step" not in hyperparameters.on_the_wire(parse())
