"""One pass over the data: a training epoch with its speed and gradients, or an exact validation."""

import time
from collections.abc import Iterable, Iterator

import mxnet as mx
import numpy as np

from common.contract import ContainerError
from train import metrics
from train.gradients import Norms
from train.hyperparameters import Hyperparameters
from train.learner import Learner
from train.logs import log
from train.metrics import Metrics

# Batches between two lines with the speed.
LOG_EVERY = 20
# Batches between two looks at the gradients, which take about a hundredth of a batch's time. The last one counts too.
LOOK_EVERY = 5


class NotFiniteError(ContainerError):
    """The loss, a gradient or a weight became NaN or infinite."""


class TrainingPass:
    """The training half of an epoch; run it once."""

    def __init__(self, learner: Learner, hyperparameters: Hyperparameters, epoch: int) -> None:
        self.metrics = new_metrics(hyperparameters)
        self.norms = Norms()
        self.seconds = 0.0
        self.images = 0
        self._learner = learner
        self._hyperparameters = hyperparameters
        self._epoch = epoch
        self._batches = 0
        self._waited = 0.0

    def run(self, batches: Iterable[mx.io.DataBatch]) -> None:
        """Learn from every batch; NotFiniteError, with the batch (1 is the first), where training has failed."""
        start = mark = time.monotonic()
        for batch in self._waiting_for(batches):
            labels = batch.label[0].asnumpy()
            probabilities = self._learner.step(batch)
            self._require(bool(np.isfinite(probabilities).all()), "the training loss")
            self.metrics.update(probabilities, labels)
            self.images += len(labels)
            if self._batches % LOOK_EVERY == 1:
                self._look_at_gradients()
            if self._batches % LOG_EVERY == 0:
                now = time.monotonic()
                self._log_speed(len(labels) * LOG_EVERY / (now - mark))
                mark = now
        if self._batches % LOOK_EVERY != 1:
            self._look_at_gradients()
        self._require(self._learner.is_finite(), "a weight")
        self.seconds = time.monotonic() - start

    @property
    def data_wait_fraction(self) -> float:
        """Share of the seconds in which the loop waited for the next batch, the first one included."""
        return self._waited / self.seconds

    def _waiting_for(self, batches: Iterable[mx.io.DataBatch]) -> Iterator[mx.io.DataBatch]:
        source = iter(batches)
        while True:
            start = time.monotonic()
            batch = next(source, None)
            self._waited += time.monotonic() - start
            if batch is None:
                return
            self._batches += 1
            yield batch

    def _look_at_gradients(self) -> None:
        self._require(self.norms.add(self._learner.gradient_norms()), "a gradient")

    def _require(self, finite: bool, what: str) -> None:
        if not finite:
            raise _not_finite(what, f"epoch {self._epoch}, batch {self._batches}", self._hyperparameters)

    def _log_speed(self, speed: float) -> None:
        values = "\t".join(f"{name}={value:.6f}" for name, value in self.metrics.named().items())
        log(f"Epoch[{self._epoch}] Batch [{self._batches}]\tSpeed: {speed:.2f} samples/sec\t{values}")


def validate(
    learner: Learner, batches: Iterable[mx.io.DataBatch], hyperparameters: Hyperparameters, epoch: int
) -> Metrics:
    """Metrics over every record once; NotFiniteError where a probability is NaN."""
    counted = new_metrics(hyperparameters)
    for batch in batches:
        probabilities = learner.score(batch)
        real = len(probabilities) - batch.pad
        if not np.isfinite(probabilities).all():
            raise _not_finite("the validation loss", f"epoch {epoch}", hyperparameters)
        counted.update(probabilities[:real], batch.label[0].asnumpy()[:real])
    return counted


def new_metrics(hyperparameters: Hyperparameters) -> Metrics:
    """Metrics for the job's kind of labels, all sums at 0."""
    return metrics.create(
        num_classes=hyperparameters.num_classes,
        multi_label=bool(hyperparameters.multi_label),
        top_k=hyperparameters.top_k,
    )


def _not_finite(what: str, where: str, hyperparameters: Hyperparameters) -> NotFiniteError:
    return NotFiniteError(
        f"{what} is NaN or infinite in {where}; lower learning_rate (it is {hyperparameters.learning_rate}) "
        "or use another optimizer"
    )
