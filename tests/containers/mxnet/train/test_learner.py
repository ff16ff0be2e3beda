"""A learner on several devices, its gradients, and what it computes in float16."""

import math

import mxnet as mx
import numpy as np
import pytest
from small_images import SIDE, image

from common.contract import ContainerError
from train import devices, hyperparameters, networks
from train.gradients import Norms
from train.learner import Learner
from train.system import Usage


def chosen(**given: str) -> hyperparameters.Hyperparameters:
    base = {"num_classes": "3", "num_training_samples": "48", "num_layers": "20", "image_shape": f"3,{SIDE},{SIDE}"}
    return hyperparameters.parse(base | {"mini_batch_size": "8", "learning_rate": "0.01"} | given)


def batch(count: int = 8) -> mx.io.DataBatch:
    images = np.stack([image(number % 3, number) for number in range(count)]).transpose(0, 3, 1, 2)
    return mx.io.DataBatch([mx.nd.array(images)], [mx.nd.array(np.arange(count) % 3)], pad=0)


@pytest.mark.parametrize(
    ("gpus", "smallest", "expected"),
    [
        (0, 32, [mx.cpu()]),
        (1, 32, [mx.gpu(0)]),
        (4, 32, [mx.gpu(number) for number in range(4)]),
        (8, 3, [mx.gpu(number) for number in range(3)]),
    ],
)
def test_every_gpu_is_used_else_the_processor(gpus: int, smallest: int, expected: list[mx.Context]) -> None:
    assert devices.contexts(gpus, smallest) == expected


def test_float16_needs_a_gpu() -> None:
    devices.check_precision("float16", 1)
    devices.check_precision("float32", 0)
    with pytest.raises(ContainerError, match=r"this job has no GPU.*set precision_dtype to float32"):
        devices.check_precision("float16", 0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_devices_share_the_batch(optimizer: str) -> None:
    """Each sees half, takes the same step, and a state can move from two devices to one."""
    pair = Learner(chosen(optimizer=optimizer), contexts=[mx.cpu(0), mx.cpu(1)], scored_batch=8)
    for _ in range(3):
        assert pair.step(batch()).shape == (8, 3)
    pair.agree()
    group = pair._module._exec_group
    assert [len(copies) for copies in group.param_arrays] == [2] * len(group.param_arrays)
    for name, copies in zip(group.param_names, group.param_arrays, strict=True):
        np.testing.assert_array_equal(copies[0].asnumpy(), copies[1].asnumpy(), err_msg=name)
    one = Learner(chosen(optimizer=optimizer, seed="9"), contexts=[mx.cpu()], scored_batch=8)
    one.restore(pair.state(), updates=pair.updates)
    np.testing.assert_allclose(one.score(batch()), pair.score(batch()), rtol=1e-4)
    again = Learner(chosen(optimizer=optimizer, seed="9"), contexts=[mx.cpu(0), mx.cpu(1)], scored_batch=8)
    again.restore(pair.state(), updates=pair.updates)
    for learner in (pair, again):
        learner.step(batch())
    for name, value in pair.state().items():
        np.testing.assert_array_equal(again.state()[name].asnumpy(), value.asnumpy(), err_msg=name)


def test_two_devices_add_up_their_gradients() -> None:
    """On a batch of two equal halves each device normalises alike, so the sum is that of one device."""
    images, labels = batch(4).data[0], batch(4).label[0]
    doubled = mx.io.DataBatch([mx.nd.concat(images, images, dim=0)], [mx.nd.concat(labels, labels, dim=0)])
    one = Learner(chosen(), contexts=[mx.cpu()], scored_batch=8)
    two = Learner(chosen(), contexts=[mx.cpu(0), mx.cpu(1)], scored_batch=8)
    for learner in (one, two):
        learner.step(doubled)
    assert two.gradient_norms() == pytest.approx(one.gradient_norms(), rel=1e-3)


def test_gradient_norms_are_those_of_the_mean_over_the_batch() -> None:
    learner = Learner(chosen(), contexts=[mx.cpu()], scored_batch=8)
    learner.step(batch())
    norms = learner.gradient_norms()
    assert {"conv0_weight", "stage3_unit3_conv2_weight", "fc1_weight"} <= norms.keys()
    assert all(name.endswith("_weight") for name in norms)
    group = learner._module._exec_group
    for name in ("conv0_weight", "fc1_weight"):
        gradient = group.grad_arrays[group.param_names.index(name)][0].asnumpy()
        assert norms[name] == pytest.approx(np.linalg.norm(gradient) / 8, rel=1e-5)


def test_a_weight_that_is_nan_is_seen() -> None:
    learner = Learner(chosen(), contexts=[mx.cpu()], scored_batch=8)
    assert learner.is_finite()
    learner._module._exec_group.param_arrays[3][0][:] = float("inf")
    assert not learner.is_finite()


@pytest.mark.parametrize("devices", [1, 2])
def test_a_moving_statistic_that_is_nan_is_seen_on_every_device(devices: int) -> None:
    learner = Learner(chosen(), contexts=[mx.cpu(number) for number in range(devices)], scored_batch=8)
    assert learner.is_finite()
    learner._module._exec_group.aux_arrays[3][-1][:] = float("nan")
    assert not learner.is_finite()


def test_norms_of_an_epoch() -> None:
    norms = Norms()
    assert norms.add({"a_weight": 3.0, "b_weight": 4.0})
    assert norms.add({"a_weight": 0.0, "b_weight": 1.0})
    assert norms.summary() == {
        "mean": 3.0, "max": 5.0, "smallest_layer": "a_weight", "smallest": 1.5,
        "largest_layer": "b_weight", "largest": 2.5,
    }  # fmt: skip
    assert not norms.add({"a_weight": math.nan, "b_weight": 1.0})
    assert not norms.add({"a_weight": math.inf, "b_weight": 1.0})


def test_float16_is_everything_between_the_pixels_and_the_loss() -> None:
    network = {"num_layers": 20, "num_classes": 3, "image_shape": (3, 32, 32)}
    symbol = networks.resnet(**network, precision="float16")
    arguments, outputs, _ = symbol.infer_type(data="float32", softmax_label="float32")
    types = dict(zip(symbol.list_arguments(), arguments, strict=True))
    assert types["bn_data_beta"] is np.float32
    assert {kind for name, kind in types.items() if name.endswith("_weight")} == {np.float16}
    assert outputs == [np.float32]
    assert symbol.list_arguments() == networks.resnet(**network).list_arguments()


def test_the_processor_time_of_this_process_counts() -> None:
    usage = Usage()
    sum(number * number for number in range(2_000_000))
    found = usage.measure()
    assert 0 < found["cpu_percent"] <= 100
    assert found["memory_bytes"] > 20e6
