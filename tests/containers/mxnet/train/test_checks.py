"""The four checks of a job's course: their formulas on made-up epochs, and each of them fired by a real job."""

import json
from collections.abc import Callable
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from small_images import samples, write_records

from train import checks, job
from train.artifacts import PREFIX
from train.history import EpochResult

CHANCE = 1.0


def course(
    train: list[float], validation: list[float] | None = None, norms: list[dict[str, float]] | None = None
) -> list[EpochResult]:
    """Epochs with these losses and gradient norms; healthy where not given."""
    healthy = {"mean": 2.0, "max": 3.0, "smallest": 0.05, "largest": 0.9}
    names = {"smallest_layer": "conv0_weight", "largest_layer": "fc1_weight"}
    return [
        EpochResult(
            epoch=number,
            learning_rate=0.1,
            seconds=1.0,
            images_per_second=1.0,
            data_wait_fraction=0.0,
            train={"cross-entropy": loss},
            validation={"cross-entropy": (validation or train)[number]},
            gradient_norm=names | healthy | (norms[number] if norms else {}),
            system={},
        )
        for number, loss in enumerate(train)
    ]


def fired(epochs: list[EpochResult], not_finite_in: int | None = None) -> dict[str, int | None]:
    found = checks.run(epochs, chance=CHANCE, not_finite_in=not_finite_in)
    assert [check.name for check in found] == [
        "loss_not_decreasing", "overfit", "vanishing_gradient", "exploding_gradient",
    ]  # fmt: skip
    assert all(check.message and "\n" not in check.message for check in found)
    return {check.name: check.epoch for check in found if check.fired}


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        ([1.2, 1.2, 1.2, 1.2], 3),
        ([1.2, 1.2, 1.2], None),  # too short to say
        ([1.2, 1.0, 0.9, 0.899, 0.898, 0.897], 5),
        ([1.2, 1.0, 0.9, 0.88, 0.86, 0.84], None),
        ([0.4, 0.4, 0.4, 0.4], None),  # learnt, and at its end
        ([1.2, 1.5, 2.0, 3.0], 3),
    ],
)
def test_a_loss_that_does_not_fall(losses: list[float], epoch: int | None) -> None:
    assert fired(course(losses)) == ({} if epoch is None else {"loss_not_decreasing": epoch})


@pytest.mark.parametrize(
    ("validation", "epoch"),
    [
        ([0.9, 0.5, 0.6, 0.7, 0.8], None),  # 0.6 is no fifth more than 0.5 yet
        ([0.9, 0.5, 0.61, 0.7, 0.8], 4),
        ([0.9, 0.5, 0.7, 0.4, 0.8], None),
        ([0.9, 0.5, 0.45, 0.44, 0.43], None),
    ],
)
def test_a_validation_loss_that_rises(validation: list[float], epoch: int | None) -> None:
    train = [0.9, 0.45, 0.3, 0.2, 0.1]
    assert fired(course(train, validation)) == ({} if epoch is None else {"overfit": epoch})


def test_a_small_gap_is_no_overfit() -> None:
    assert fired(course([0.9, 0.05, 0.03, 0.02, 0.01], [0.9, 0.03, 0.05, 0.06, 0.07])) == {}


def test_both_losses_rising_is_no_overfit() -> None:
    assert fired(course([0.3, 0.2, 0.4, 0.45, 0.5], [0.6, 0.4, 0.6, 0.7, 0.8])) == {}


def test_a_layer_without_gradient() -> None:
    still = [{}, {"smallest": 8e-7}]
    assert fired(course([1.0, 0.8], norms=still)) == {"vanishing_gradient": 1}
    assert fired(course([1.0, 0.05], norms=still)) == {}  # nothing left to learn
    assert fired(course([1.0, 0.8], norms=[{}, {"smallest": 2e-6}])) == {}


def test_a_gradient_far_above_the_first() -> None:
    assert fired(course([1.0, 0.8, 0.7], norms=[{}, {"max": 20.0}, {"max": 20.1}])) == {"exploding_gradient": 2}
    # A network that was trained before has small gradients, and may well have a batch with a larger one.
    assert fired(course([0.1, 0.1], norms=[{"mean": 0.01}, {"max": 9.9}])) == {}


def test_nan_counts_as_exploded() -> None:
    assert fired(course([1.0, 0.8]), not_finite_in=2) == {"exploding_gradient": 2}


def test_chance_is_the_entropy_of_the_labels() -> None:
    assert checks.chance_loss(np.array([5, 5, 0]), 10, multi_label=False) == pytest.approx(np.log(2))
    entropy = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    assert checks.chance_loss(np.array([2, 10, 0]), 10, multi_label=True) == pytest.approx(entropy / 3)


MakeJob = Callable[..., Path]


def outcome(root: Path, capfd: pytest.CaptureFixture[str]) -> set[str]:
    """Run the job; the names of the checks that fired, which are those it warned of."""
    job.run(2)
    found = json.loads((root / "model" / "training.json").read_text())["checks"]
    lines = capfd.readouterr().out.splitlines()
    for check in found:
        warning = f"Warning: Epoch[{check['epoch']}] {check['name']}: {check['message']}"
        assert sum(f" {check['name']}: " in line for line in lines) == check["fired"]
        assert (warning in lines) == check["fired"]
    return {check["name"] for check in found if check["fired"]}


@pytest.mark.parametrize("augmentation", ["none", "crop"])
def test_a_healthy_job_fires_none(make_job: MakeJob, capfd: pytest.CaptureFixture[str], augmentation: str) -> None:
    root = make_job(train=96, epochs=8, learning_rate=0.02, augmentation_type=augmentation)
    assert outcome(root, capfd) == set()


def test_a_rate_far_too_low_does_not_learn(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    assert outcome(make_job(epochs=6, learning_rate=1e-6), capfd) == {"loss_not_decreasing"}


def test_few_images_with_wrong_labels_overfit(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    root = make_job(train=32, epochs=12)
    wrong = [((label + 1) % 3 if number % 3 == 0 else label, png) for number, (label, png) in enumerate(samples(32))]
    write_records(root / "input/data/train/train.rec", wrong)
    assert "overfit" in outcome(root, capfd)


def test_a_rate_and_momentum_far_too_high_explode(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    root = make_job(train=96, epochs=8, learning_rate=1, momentum=1, mini_batch_size=8)
    assert "exploding_gradient" in outcome(root, capfd)


def test_a_network_of_dead_units_has_no_gradient(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    scratch = make_job(name="scratch", epochs=1)
    job.run(2)
    path = next((scratch / "model").glob("*.params"))
    parameters = mx.nd.load(str(path))
    # The last rectifier gives 0 for every image, so nothing comes back through it either.
    parameters["arg:bn1_beta"][:] = -1000
    dead = make_job(name="dead", epochs=2)
    (dead / "input/data/model").mkdir()
    mx.nd.save(str(dead / "input/data/model" / f"{PREFIX}-0001.params"), parameters)
    capfd.readouterr()
    assert outcome(dead, capfd) == {"vanishing_gradient"}
