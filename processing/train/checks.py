"""Four checks of a training job's course, as functions of its epochs alone.

They look for what SageMaker Debugger's built-in rules of these names look for
(https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html), on values per epoch. What has fired
stays fired: `epoch` is the first at whose end the condition held.

`chance` is the loss of a network that knows how often each class occurs and nothing of the images (the entropy of the
labels, in nats): on that scale the constants hold for any number of classes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from train.history import EpochResult
from train.metrics import LOSS

# Epochs that a condition on the loss is watched for.
WINDOW = 3
# Loss not decreasing: no fall of at least 1 % within WINDOW epochs, and more than half of chance still to learn.
SMALLEST_FALL = 0.01
STILL_HIGH = 0.5
# Overfit: validation loss a fifth above its lowest for WINDOW epochs, and well above the falling training loss.
RISE = 1.2
GAP = 0.1
# Vanishing: a layer has less than a millionth of what the strongest one had in the first epoch, and there is still a
# tenth of chance to learn. Depth and batch normalisation alone make a factor of some hundred (ResNet-110: 50).
VANISHED = 1e-6
STILL_TO_LEARN = 0.1
# Exploding: a batch has ten times the mean gradient of the first epoch, and of 1, the scale of one image's error (its
# gradient is at most the square root of 2). Networks differ too much for a fixed bound: ResNet-20 starts with a norm of
# 2, ResNet-152 with some hundred.
EXPLODED = 10.0


@dataclass(frozen=True)
class Check:
    """The outcome of one check; `epoch` is None where it has not fired, `message` one line for a person."""

    name: str
    fired: bool
    epoch: int | None
    message: str


def run(epochs: Sequence[EpochResult], *, chance: float, not_finite_in: int | None = None) -> list[Check]:
    """All four checks of at least one epoch; `not_finite_in` is the one after them where training failed with NaN."""
    return [
        _loss_not_decreasing(epochs, chance),
        _overfit(epochs, chance),
        _vanishing_gradient(epochs, chance),
        _exploding_gradient(epochs, not_finite_in),
    ]


def chance_loss(images_per_class: np.ndarray, images: int, *, multi_label: bool) -> float:
    """`chance` of a training set from the images that show each class (num_classes).

    One label per image: the entropy of the classes. Several: the mean over the classes of the entropy of yes and no.
    """
    shares = images_per_class / images
    if not multi_label:
        return float(_surprise(shares).sum())
    return float((_surprise(shares) + _surprise(1 - shares)).mean())


def _surprise(shares: np.ndarray) -> np.ndarray:
    return -shares * np.log(np.where(shares > 0, shares, 1.0))


def _loss_not_decreasing(epochs: Sequence[EpochResult], chance: float) -> Check:
    losses = [result.train[LOSS] for result in epochs]

    def stuck(epoch: int) -> bool:
        recent, before = min(losses[epoch - WINDOW + 1 : epoch + 1]), min(losses[: epoch - WINDOW + 1])
        return recent > (1 - SMALLEST_FALL) * before and recent > STILL_HIGH * chance

    epoch = _first(range(WINDOW, len(losses)), stuck)
    if epoch is None:
        return _quiet(
            "loss_not_decreasing", f"the training loss fell, or is below half of {chance:.3f}, that of chance"
        )
    return Check(
        "loss_not_decreasing",
        True,
        epoch,
        f"the training loss ({losses[epoch]:.3f}) did not fall for {WINDOW} epochs and is above half of {chance:.3f}, "
        "that of chance; try another learning_rate, a deeper network or less augmentation",
    )


def _overfit(epochs: Sequence[EpochResult], chance: float) -> Check:
    train = [result.train[LOSS] for result in epochs]
    validation = [result.validation[LOSS] for result in epochs]

    def overfits(epoch: int) -> bool:
        lowest = int(np.argmin(validation[: epoch - WINDOW + 1]))
        return all(
            validation[later] > RISE * validation[lowest]
            and train[later] < train[lowest]
            and validation[later] - train[later] > GAP * chance
            for later in range(epoch - WINDOW + 1, epoch + 1)
        )

    epoch = _first(range(WINDOW, len(epochs)), overfits)
    if epoch is None:
        return _quiet("overfit", "the validation loss did not rise while the training loss fell")
    return Check(
        "overfit",
        True,
        epoch,
        f"the validation loss rose to {validation[epoch]:.3f} (lowest {min(validation[:epoch]):.3f}) while the "
        f"training loss fell to {train[epoch]:.3f}; use more images, augmentation_type, weight_decay or early_stopping",
    )


def _vanishing_gradient(epochs: Sequence[EpochResult], chance: float) -> Check:
    norms = [result.gradient_norm for result in epochs]

    def vanished(epoch: int) -> bool:
        learning = epochs[epoch].train[LOSS] > STILL_TO_LEARN * chance
        return learning and norms[epoch]["smallest"] <= VANISHED * norms[0]["largest"]

    epoch = _first(range(len(epochs)), vanished)
    if epoch is None:
        return _quiet("vanishing_gradient", "every layer's gradient was large enough to learn from")
    return Check(
        "vanishing_gradient",
        True,
        epoch,
        f"the gradient of {norms[epoch]['smallest_layer']} is {norms[epoch]['smallest']:.2g} with a training loss of "
        f"{epochs[epoch].train[LOSS]:.3f}, so it learns no more; lower learning_rate, or start from another model",
    )


def _exploding_gradient(epochs: Sequence[EpochResult], not_finite_in: int | None) -> Check:
    largest = [result.gradient_norm["max"] for result in epochs]
    bound = EXPLODED * max(epochs[0].gradient_norm["mean"], 1.0)
    epoch = _first(range(len(epochs)), lambda at: largest[at] > bound)
    if epoch is not None:
        return Check(
            "exploding_gradient",
            True,
            epoch,
            f"the gradient's norm reached {largest[epoch]:.3g}, more than {EXPLODED:g} times that of the first epoch; "
            "lower learning_rate or weight_decay",
        )
    if not_finite_in is not None:
        message = "the loss became NaN or infinite; lower learning_rate or use another optimizer"
        return Check("exploding_gradient", True, not_finite_in, message)
    return _quiet("exploding_gradient", f"the gradient's norm stayed below {bound:.3g}")


def _first(epochs: Iterable[int], holds: Callable[[int], bool]) -> int | None:
    return next((epoch for epoch in epochs if holds(epoch)), None)


def _quiet(name: str, message: str) -> Check:
    return Check(name, False, None, message)
