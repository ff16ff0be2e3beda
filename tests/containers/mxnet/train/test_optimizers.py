"""Each optimizer takes its own hyperparameters, decays weights only, and follows the schedule."""

import pytest

from train import hyperparameters, optimizers

NAMES = ["conv0_weight", "bn0_gamma", "bn0_beta", "fc1_weight", "fc1_bias"]


def chosen(**given: str) -> hyperparameters.Hyperparameters:
    return hyperparameters.parse({"num_classes": "2", "num_training_samples": "10"} | given)


@pytest.mark.parametrize(
    ("name", "given", "attributes"),
    [
        ("sgd", {"momentum": "0.7"}, {"momentum": 0.7, "wd": 0.0001}),
        ("nag", {"momentum": "0.8", "weight_decay": "0.01"}, {"momentum": 0.8, "wd": 0.01}),
        ("adam", {"beta_1": "0.8", "beta_2": "0.99", "eps": "1e-4"}, {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-4}),
        ("rmsprop", {"gamma": "0.6", "eps": "1e-5"}, {"gamma1": 0.6, "epsilon": 1e-5, "centered": False}),
        ("adam", {"weight_decay": "0.5"}, {"wd": 0.0}),
        ("rmsprop", {"weight_decay": "0.5"}, {"wd": 0.0}),
    ],
)
def test_hyperparameters_reach_the_optimizer(name: str, given: dict[str, str], attributes: dict[str, float]) -> None:
    optimizer = optimizers.create(chosen(optimizer=name, mini_batch_size="8", **given), NAMES)
    assert type(optimizer).__name__.lower() == name
    assert optimizer.rescale_grad == 1 / 8
    for attribute, value in attributes.items():
        assert getattr(optimizer, attribute) == value


def test_only_weights_decay() -> None:
    optimizer = optimizers.create(chosen(), NAMES)
    decayed = {name for index, name in enumerate(NAMES) if optimizer._get_wd(index) > 0}
    assert decayed == {"conv0_weight", "fc1_weight"}


def test_the_learning_rate_falls_after_each_step() -> None:
    settings = chosen(learning_rate="0.1", lr_scheduler_step="2,4", lr_scheduler_factor="0.5")
    rates = [optimizers.learning_rate(settings, epoch) for epoch in range(6)]
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])


def test_without_steps_the_learning_rate_stays() -> None:
    assert {optimizers.learning_rate(chosen(), epoch) for epoch in range(30)} == {0.1}
