"""Images with several labels: sigmoid outputs, F1, balanced weights."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from small_images import COLORS, SIDE, png, write_records

from train import hyperparameters, job, weights
from train.artifacts import PREFIX
from train.learner import Learner
from train.weights import ClassWeights

MakeJob = Callable[..., Path]


def image(flags: tuple[int, ...], seed: int) -> np.ndarray:
    """Noise with, for each class that is set, a third of the image in the class's colour."""
    random = np.random.default_rng([*flags, seed])
    pixels = np.full((SIDE, SIDE, 3), 110.0)
    for number, flag in enumerate(flags):
        if flag:
            pixels[:, number * SIDE // 3 : (number + 1) * SIDE // 3] = COLORS[number]
    return np.clip(pixels + random.normal(0, 12, pixels.shape), 0, 255).astype(np.uint8)


def flags_of(number: int) -> tuple[int, ...]:
    return tuple(number >> bit & 1 for bit in range(3))


def several(count: int, seed: int = 0) -> list[tuple[tuple[float, ...], bytes]]:
    return [(flags_of(index % 8), png(image(flags_of(index % 8), seed * 1000 + index))) for index in range(count)]


def make(make_job: MakeJob, name: str = "job", **given: object) -> Path:
    root = make_job(name=name, train=96, validation=25, multi_label=1, **given)
    write_records(root / "input/data/train/train.rec", several(96))
    write_records(root / "input/data/validation/validation.rec", several(25, seed=1))
    return root


@pytest.mark.parametrize("weighted", [0, 1])
def test_a_job_learns_every_label(make_job: MakeJob, capfd: pytest.CaptureFixture[str], weighted: int) -> None:
    root = make(make_job, epochs=8, use_weighted_loss=weighted, learning_rate=0.1)
    job.run(2)
    out = capfd.readouterr().out
    scores = [float(value) for value in re.findall(r"^Epoch\[\d\] Validation-f1=(\S+)$", out, re.MULTILINE)]
    assert max(scores) > 0.9
    content = json.loads((root / "model" / "training.json").read_text())
    assert content["selected_by"] == "f1"
    assert scores[content["best_epoch"]] == max(scores)
    assert out.splitlines()[-1] == f"Best: Epoch[{content['best_epoch']}] Validation-f1={max(scores):.6f}"
    epoch = content["best_epoch"] + 1
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(root / "model" / PREFIX), epoch)
    assert symbol.list_outputs() == ["softmax_output"]
    assert "positive_weight" not in arguments
    module = mx.mod.Module(symbol, context=mx.cpu())
    images = np.stack([image(flags_of(number), 77) for number in range(8)]).transpose(0, 3, 1, 2)
    module.bind([("data", images.shape)], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([mx.nd.array(images)]), is_train=False)
    probabilities = module.get_outputs()[0].asnumpy()
    expected = np.array([flags_of(number) for number in range(8)])
    assert ((probabilities > 0.5) == expected).mean() > 0.9


def test_early_stopping_goes_by_f1(make_job: MakeJob, capfd: pytest.CaptureFixture[str]) -> None:
    make(
        make_job,
        learning_rate=0,
        epochs=9,
        early_stopping=True,
        early_stopping_min_epochs=2,
        early_stopping_patience=1,
        early_stopping_tolerance=1,
    )
    job.run(2)
    assert re.search(r"^Early stopping after epoch \d: best validation f1 ", capfd.readouterr().out, re.MULTILINE)


def learner(balance: ClassWeights | None) -> Learner:
    chosen = hyperparameters.parse(
        {
            "num_classes": "3",
            "num_training_samples": "8",
            "num_layers": "20",
            "image_shape": f"3,{SIDE},{SIDE}",
            "mini_batch_size": "8",
            "multi_label": "1",
        }
    )
    return Learner(chosen, contexts=[mx.cpu()], scored_batch=8, weights=balance)


def last_layer_gradient(which: Learner, flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and the gradient of the bias, which is the sum of the scores' gradients over the batch."""
    images = np.stack([image(flags_of(number), 5) for number in range(8)]).transpose(0, 3, 1, 2)
    which.set_learning_rate(0.0)
    probabilities = which.step(mx.io.DataBatch([mx.nd.array(images)], [mx.nd.array(flags)]))
    group = which._module._exec_group
    return probabilities, group.grad_arrays[group.param_names.index("fc1_bias")][0].asnumpy()


def test_the_loss_is_the_weighted_cross_entropy() -> None:
    flags = np.array([flags_of(number) for number in (0, 1, 2, 3, 4, 5, 6, 6)], dtype=np.float32)
    balance = ClassWeights(np.array([1.0, 2.0, 5.0], np.float32), np.array([1.0, 0.5, 0.1], np.float32))
    weighted = learner(balance)
    probabilities, gradient = last_layer_gradient(weighted, flags)
    factors = np.where(flags > 0, balance.positive, balance.negative)
    np.testing.assert_allclose(gradient, (factors * (probabilities - flags)).sum(axis=0) / 3, rtol=1e-4)
    state = weighted.state()
    np.testing.assert_array_equal(state["arg:positive_weight"].asnumpy()[0], balance.positive)
    plain, gradient = last_layer_gradient(learner(None), flags)
    np.testing.assert_allclose(plain, probabilities, rtol=1e-5)
    np.testing.assert_allclose(gradient, (plain - flags).sum(axis=0) / 3, rtol=1e-4)


def test_weights_balance_each_class() -> None:
    found = weights.balanced(np.array([50, 25, 1, 0, 100]), 100)
    np.testing.assert_allclose(found.positive, [1, 2, weights.HEAVIEST, 1, 1])
    np.testing.assert_allclose(found.negative, [1, 100 / 150, 100 / 198, 1, 1], rtol=1e-6)
