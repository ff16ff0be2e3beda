"""Optimizer and learning rate from the hyperparameters."""

from bisect import bisect_right
from collections.abc import Sequence

import mxnet as mx

from train.hyperparameters import Hyperparameters


def create(
    hyperparameters: Hyperparameters, parameter_names: Sequence[str], *, devices: int = 1, hosts: int = 1
) -> mx.optimizer.Optimizer:
    """The optimizer for parameters in the order of `parameter_names`, each of them on every one of the devices.

    Gradients are averaged over the batches of all hosts. Weight decay acts on convolution and dense weights alone, not
    on biases and batch normalisation, and for sgd and nag alone, as the documentation says. With float16 the steps are
    taken on float32 copies of the weights.
    """
    options = {
        "sgd": {"momentum": hyperparameters.momentum},
        "nag": {"momentum": hyperparameters.momentum},
        "adam": {
            "beta1": hyperparameters.beta_1,
            "beta2": hyperparameters.beta_2,
            "epsilon": hyperparameters.eps,
        },
        "rmsprop": {"gamma1": hyperparameters.gamma, "epsilon": hyperparameters.eps},
    }[hyperparameters.optimizer]
    decays = hyperparameters.optimizer in ("sgd", "nag")
    optimizer = mx.optimizer.create(
        hyperparameters.optimizer,
        learning_rate=hyperparameters.learning_rate,
        wd=hyperparameters.weight_decay if decays else 0.0,
        rescale_grad=1.0 / (hyperparameters.mini_batch_size * hosts),
        # As mx.mod.Module numbers them.
        param_idx2name={
            number * devices + device: name for number, name in enumerate(parameter_names) for device in range(devices)
        },
        multi_precision=hyperparameters.precision_dtype == "float16",
        **options,
    )
    optimizer.set_wd_mult({name: 0.0 for name in parameter_names if not name.endswith("_weight")})
    return optimizer


def learning_rate(hyperparameters: Hyperparameters, epoch: int) -> float:
    """Learning rate of an epoch (0 is the first): reduced after each epoch of lr_scheduler_step that has passed."""
    reductions = bisect_right(hyperparameters.lr_scheduler_step, epoch)
    return hyperparameters.learning_rate * hyperparameters.lr_scheduler_factor**reductions
