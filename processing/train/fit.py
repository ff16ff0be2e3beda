"""The training loop: epochs over a Module, exact validation, metric lines, best parameters kept."""

import time

import mxnet as mx
import numpy as np

from common.contract import ContainerError
from train import iterators, optimizers, runtime
from train.artifacts import ModelDirectory
from train.channels import Channel
from train.hyperparameters import Hyperparameters
from train.metrics import Metrics
from train.networks import BATCH_NORM_MOMENTUM
from train.stopping import EarlyStopping

DATA, LABEL = "data", "softmax_label"
LOG_EVERY = 20


def log(line: str) -> None:
    """Write a line to stdout at once: metric definitions and the local run read them while the job runs."""
    print(line, flush=True)


class Trainer:
    """Trains one network on one machine."""

    def __init__(
        self,
        *,
        symbol: mx.sym.Symbol,
        hyperparameters: Hyperparameters,
        train: Channel,
        validation: Channel,
        threads: int,
    ) -> None:
        self._hyperparameters = hyperparameters
        self._validation = validation
        self._threads = threads
        runtime.score_with_current_weights()
        mx.random.seed(hyperparameters.seed)
        np.random.seed(hyperparameters.seed)
        self._batches = iterators.training(train, hyperparameters, threads=threads)
        self._module = self._bound(symbol, hyperparameters.mini_batch_size)
        self._module.init_params(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2))
        scored = iterators.validation_batch_size(validation, hyperparameters)
        self._scorer = self._bound(symbol, scored, parameters_of=self._module)
        names = [name for name in symbol.list_arguments() if name not in (DATA, LABEL)]
        self._optimizer = optimizers.create(hyperparameters, names)
        self._module.init_optimizer(kvstore=None, optimizer=self._optimizer)

    def _bound(
        self, symbol: mx.sym.Symbol, batch_size: int, parameters_of: mx.mod.Module | None = None
    ) -> mx.mod.Module:
        module = mx.mod.Module(symbol, data_names=(DATA,), label_names=(LABEL,), context=mx.cpu())
        module.bind(
            data_shapes=[(DATA, (batch_size, *self._hyperparameters.image_shape))],
            label_shapes=[(LABEL, (batch_size,))],
            for_training=parameters_of is None,
            shared_module=parameters_of,
        )
        return module

    def fit(self, model: ModelDirectory) -> None:
        """Run the epochs; `model` receives the parameters of the epoch with the best validation accuracy.

        Of epochs with equal accuracy the one with the lower cross-entropy is the better: on small validation sets
        many are equal. Raises ContainerError when the loss becomes NaN.
        """
        best = (-1.0, 0.0)
        stopping = EarlyStopping(self._hyperparameters)
        for epoch in range(self._hyperparameters.epochs):
            self._train_epoch(epoch)
            scores = self._validate(epoch)
            quality = (scores.accuracy, -scores.loss)
            arguments, auxiliary = self._module.get_params()
            model.keep(epoch, arguments, auxiliary, best=quality > best)
            best = max(best, quality)
            if stopping.should_stop(scores.accuracy):
                log(f"Early stopping after epoch {epoch}: best validation accuracy {best[0]:.6f}")
                return

    def _train_epoch(self, epoch: int) -> None:
        start = time.monotonic()
        self._optimizer.set_learning_rate(optimizers.learning_rate(self._hyperparameters, epoch))
        if epoch > 0:
            self._batches.reset()
        counted = _Counter(epoch, self._hyperparameters)
        for batch in self._batches:
            self._module.forward_backward(batch)
            self._module.update()
            counted.add(self._module.get_outputs()[0], batch.label[0].asnumpy())
        if epoch == 0:
            self._settle_batch_norm(counted.batches)
        _log_metrics(epoch, "Train", counted.metrics)
        log(f"Epoch[{epoch}] Time cost={time.monotonic() - start:.3f}")

    def _settle_batch_norm(self, batches: int) -> None:
        """Take the starting values out of the moving statistics.

        They start at mean 0, variance 1 and after n batches still hold momentum**n of that: with few batches an epoch
        the raw-pixel statistics would be far off and validation meaningless. With many it changes nothing.
        """
        rest = BATCH_NORM_MOMENTUM**batches
        arguments, auxiliary = self._module.get_params()
        settled = {
            name: (value - (rest if name.endswith("_moving_var") else 0.0)) / (1.0 - rest)
            for name, value in auxiliary.items()
        }
        self._module.set_params(arguments, settled)

    def _validate(self, epoch: int) -> Metrics:
        metrics = Metrics(top_k=self._hyperparameters.top_k)
        for batch in iterators.validation(self._validation, self._hyperparameters, threads=self._threads):
            self._scorer.forward(batch, is_train=False)
            probabilities = self._scorer.get_outputs()[0].asnumpy()
            labels = batch.label[0].asnumpy()
            real = len(labels) - batch.pad
            if np.isnan(probabilities).any():
                raise ContainerError(f"validation loss is NaN in epoch {epoch}; {_less(self._hyperparameters)}")
            metrics.update(probabilities[:real], labels[:real])
        _log_metrics(epoch, "Validation", metrics)
        return metrics


class _Counter:
    """Training metrics of an epoch, with a speed line every LOG_EVERY batches."""

    def __init__(self, epoch: int, hyperparameters: Hyperparameters) -> None:
        self.metrics = Metrics(top_k=hyperparameters.top_k)
        self._epoch = epoch
        self._hyperparameters = hyperparameters
        self.batches = 0
        self._mark = time.monotonic()

    def add(self, output: mx.nd.NDArray, labels: np.ndarray) -> None:
        probabilities = output.asnumpy()
        if np.isnan(probabilities).any():
            raise ContainerError(
                f"training loss is NaN in epoch {self._epoch}, batch {self.batches + 1}; {_less(self._hyperparameters)}"
            )
        self.metrics.update(probabilities, labels)
        self.batches += 1
        if self.batches % LOG_EVERY == 0:
            self._log_speed(len(labels) * LOG_EVERY)

    def _log_speed(self, images: int) -> None:
        now = time.monotonic()
        speed = images / (now - self._mark)
        self._mark = now
        values = "\t".join(f"{name}={value:.6f}" for name, value in self.metrics.named().items())
        log(f"Epoch[{self._epoch}] Batch [{self.batches}]\tSpeed: {speed:.2f} samples/sec\t{values}")


def _log_metrics(epoch: int, split: str, metrics: Metrics) -> None:
    for name, value in metrics.named().items():
        log(f"Epoch[{epoch}] {split}-{name}={value:.6f}")


def _less(hyperparameters: Hyperparameters) -> str:
    return f"lower learning_rate (it is {hyperparameters.learning_rate}) or use another optimizer"
