"""One network bound twice, for training and for scoring, with its optimizer."""

import itertools
from collections.abc import Mapping
from typing import Any

import mxnet as mx
import numpy as np

from train import optimizers, runtime
from train.artifacts import Parameters, split_prefixed
from train.cluster import ALONE, Group
from train.hyperparameters import Hyperparameters
from train.networks import BATCH_NORM_MOMENTUM, resnet
from train.weights import ClassWeights

DATA, LABEL = "data", "softmax_label"


class Learner:
    """Takes training steps on batches of mini_batch_size images, and scores batches of `scored_batch`."""

    def __init__(
        self,
        hyperparameters: Hyperparameters,
        *,
        contexts: list[mx.Context],
        scored_batch: int,
        weights: ClassWeights | None = None,
        start: Parameters | None = None,
        group: Group = ALONE,
    ) -> None:
        """Parameters are those of `start` where it has them, and new, from the seed, where not."""
        runtime.score_with_current_weights()
        runtime.update_on_the_devices()
        mx.random.seed(hyperparameters.seed)
        np.random.seed(hyperparameters.seed)
        self._hyperparameters = hyperparameters
        self._contexts = contexts
        self._group = group
        self.symbol = self._network(weighted=False, precision="float32")
        precision = hyperparameters.precision_dtype
        training = self._network(weighted=weights is not None, precision=precision)
        self._weight_names = [name for name in training.list_arguments() if name not in self.symbol.list_arguments()]
        self._module = self._bound(training, hyperparameters.mini_batch_size)
        self._initialize(start, weights)
        scoring = self._network(weighted=False, precision=precision)
        self._scorer = self._bound(scoring, scored_batch, parameters_of=self._module)
        names = [name for name in training.list_arguments() if name not in (DATA, LABEL)]
        self._names = [name for name in names if name not in self._weight_names]
        self._optimizer = optimizers.create(hyperparameters, names, devices=len(contexts), hosts=group.size)
        self._updates = 0
        self._module.init_optimizer(kvstore=self._kvstore(), optimizer=self._optimizer)

    def _network(self, *, weighted: bool, precision: str) -> mx.sym.Symbol:
        return resnet(
            num_layers=self._hyperparameters.num_layers,
            num_classes=self._hyperparameters.num_classes,
            image_shape=self._hyperparameters.image_shape,
            multi_label=bool(self._hyperparameters.multi_label),
            weighted=weighted,
            precision=precision,
        )

    def _bound(
        self, symbol: mx.sym.Symbol, batch_size: int, parameters_of: mx.mod.Module | None = None
    ) -> mx.mod.Module:
        module = mx.mod.Module(
            symbol,
            data_names=(DATA,),
            label_names=(LABEL,),
            context=self._contexts,
            fixed_param_names=self._weight_names if parameters_of is None else None,
        )
        classes = (self._hyperparameters.num_classes,) if self._hyperparameters.multi_label else ()
        module.bind(
            data_shapes=[(DATA, (batch_size, *self._hyperparameters.image_shape))],
            label_shapes=[(LABEL, (batch_size, *classes))],
            for_training=parameters_of is None,
            shared_module=parameters_of,
        )
        return module

    def _initialize(self, start: Parameters | None, weights: ClassWeights | None) -> None:
        given = dict(start.arguments) if start is not None else {}
        if weights is not None:
            values = zip(("positive_weight", "negative_weight"), weights, strict=True)
            given |= {name: mx.nd.array(value[np.newaxis]) for name, value in values}
        self._module.init_params(
            mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2),
            arg_params=given,
            aux_params=dict(start.auxiliary) if start is not None else {},
            allow_missing=True,
        )

    def _kvstore(self) -> mx.kv.KVStore | str | None:
        """What adds up the gradients: nothing on one device of one host."""
        if self._group.size > 1:
            return self._group.kvstore()
        return "device" if len(self._contexts) > 1 else None

    def set_learning_rate(self, rate: float) -> None:
        """Take the steps from here on with this rate."""
        self._optimizer.set_learning_rate(rate)

    def step(self, batch: mx.io.DataBatch) -> np.ndarray:
        """Learn from a batch; returns the probabilities (N, num_classes) from before the step."""
        self._module.forward_backward(batch)
        self._module.update()
        self._updates += 1
        return self._module.get_outputs()[0].asnumpy()

    def score(self, batch: mx.io.DataBatch) -> np.ndarray:
        """Probabilities (N, num_classes) of a batch with the moving statistics, as serving computes them."""
        self._scorer.forward(batch, is_train=False)
        return self._scorer.get_outputs()[0].asnumpy()

    def gradient_norms(self) -> dict[str, float]:
        """L2 norm of the last step's gradient, averaged over the batch, of each layer's weights, by their name.

        One operation and one wait for all of them. After the step every device holds the sum over the devices.
        """
        names = [name for name in self._names if name.endswith("_weight")]
        group = self._module._exec_group
        squares = _squares([group.grad_arrays[group.param_names.index(name)][0] for name in names])
        return dict(zip(names, (np.sqrt(squares) * self._optimizer.rescale_grad).tolist(), strict=True))

    def is_finite(self) -> bool:
        """False where a parameter or a moving statistic is NaN or infinite, on any device.

        Activations can hide it, as the rectifier takes NaN for 0.
        """
        group = self._module._exec_group
        devices = zip(*group.param_arrays, *group.aux_arrays, strict=True)
        return all(np.isfinite(_squares(list(arrays))).all() for arrays in devices)

    def parameters(self) -> Parameters:
        """A snapshot of the parameters of `symbol`, in float32."""
        arguments, auxiliary = self._module.get_params()
        return Parameters(
            {name: arguments[name].astype("float32") for name in self._names},
            {name: value.astype("float32") for name, value in auxiliary.items()},
        )

    def agree(self) -> None:
        """Give every device the mean of the moving statistics, of which each has its own, as `parameters` has it.

        Needed after training and before scoring, or each device would score with its own.
        """
        if len(self._contexts) > 1:
            self._module.set_params(*self._module.get_params())

    def settle_batch_norm(self) -> None:
        """Take the starting values out of the moving statistics, after the first epoch of a network from scratch.

        They start at mean 0, variance 1 and after n batches still hold momentum**n of that: with few batches an epoch
        the raw-pixel statistics would be far off and validation meaningless. With many it changes nothing.
        """
        rest = BATCH_NORM_MOMENTUM**self._updates
        arguments, auxiliary = self._module.get_params()
        settled = {
            name: (value - (rest if name.endswith("_moving_var") else 0.0)) / (1.0 - rest)
            for name, value in auxiliary.items()
        }
        self._module.set_params(arguments, settled)

    def average_batch_norm(self) -> None:
        """Give all hosts the mean of their moving statistics, which are no gradients, so that all score alike."""
        if self._group.size == 1:
            return
        arguments, auxiliary = self._module.get_params()
        found = self._group.gather({name: value.asnumpy() for name, value in auxiliary.items()})
        mean = {name: mx.nd.array(np.mean([of_host[name] for of_host in found], axis=0)) for name in auxiliary}
        self._module.set_params(arguments, mean)

    def state(self) -> dict[str, mx.nd.NDArray]:
        """All that the next step depends on, but for the number of updates: parameters and the optimizer's arrays."""
        arguments, auxiliary = self._module.get_params()
        states = self._module._updater.states
        values = Parameters(arguments, auxiliary).prefixed()
        for number, name in enumerate(self._module._exec_group.param_names):
            # Every device has the same.
            for place, array in enumerate(_arrays(states.get(number * len(self._contexts)))):
                values[f"optimizer:{name}:{place}"] = array.as_in_context(mx.cpu())
        return values

    def restore(self, state: Mapping[str, mx.nd.NDArray], *, updates: int) -> None:
        """Go back to `state()` as it was after that many updates (batches)."""
        parameters = split_prefixed(state)
        self._module.set_params(dict(parameters.arguments), dict(parameters.auxiliary))
        # Optimizers correct their first steps by the number of updates so far.
        self._updates = self._optimizer.begin_num_update = self._optimizer.num_update = updates
        group, devices = self._module._exec_group, len(self._contexts)
        for number, name in enumerate(group.param_names):
            values = [state[key] for key in _state_keys(name, state)]
            copies = zip(group.param_arrays[number], group.grad_arrays[number], strict=True)
            for device, (weight, gradient) in enumerate(copies):
                if gradient is not None:
                    self._set_optimizer_state(number * devices + device, weight, values)

    def _set_optimizer_state(self, index: int, weight: mx.nd.NDArray, values: list[mx.nd.NDArray]) -> None:
        updater = self._module._updater
        updater.states[index] = self._optimizer.create_state_multi_precision(index, weight)
        updater.states_synced[index] = True
        for array, value in zip(_arrays(updater.states[index]), values, strict=True):
            value.copyto(array)

    @property
    def updates(self) -> int:
        """Number of steps so far."""
        return self._updates


def _squares(arrays: list[mx.nd.NDArray]) -> np.ndarray:
    """Sum of the squares of each array, in one operation."""
    return mx.nd.multi_sum_sq(
        *(array.astype("float32", copy=False) for array in arrays), num_arrays=len(arrays)
    ).asnumpy()


def _arrays(state: Any) -> list[mx.nd.NDArray]:
    """The arrays of one parameter's optimizer state: MXNet has none, one, or nested tuples of them."""
    if isinstance(state, mx.nd.NDArray):
        return [state]
    return [array for part in state or () for array in _arrays(part)]


def _state_keys(name: str, state: Mapping[str, mx.nd.NDArray]) -> list[str]:
    keys = (f"optimizer:{name}:{place}" for place in itertools.count())
    return list(itertools.takewhile(state.__contains__, keys))
