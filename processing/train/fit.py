"""The training loop: epochs over a Learner, exact validation, metric lines, best parameters and checkpoints kept."""

from collections.abc import Mapping
from dataclasses import asdict

import mxnet as mx

from common.contract import ContainerError
from train import checks, document, history, iterators, metrics, optimizers, passes
from train.artifacts import ModelDirectory
from train.channels import Channel
from train.checkpoints import Checkpoints
from train.cluster import Group
from train.contention import Contention
from train.history import EpochResult
from train.hyperparameters import Hyperparameters
from train.learner import Learner
from train.logs import log, log_metrics
from train.metrics import Metrics
from train.passes import NotFiniteError, TrainingPass
from train.stopping import EarlyStopping
from train.system import Usage


class Trainer:
    """Trains one network to its end, from the start or from a checkpoint."""

    def __init__(
        self,
        *,
        learner: Learner,
        hyperparameters: Hyperparameters,
        train: Channel,
        validation: Channel,
        threads: int,
        model: ModelDirectory | None,
        checkpoints: Checkpoints | None,
        base_model: Mapping[str, str] | None,
        group: Group,
    ) -> None:
        """`model` receives the artifact; the first of several hosts alone has it, and `checkpoints`.

        `base_model` is what training.json says of the model that `learner` starts from.
        """
        self._learner = learner
        self._group = group
        self._hyperparameters = hyperparameters
        self._train = train
        self._validation = validation
        self._threads = threads
        self._model = model
        self._checkpoints = checkpoints
        self._base_model = base_model
        self._selected_by = metrics.selecting(multi_label=bool(hyperparameters.multi_label))
        self._stopping = EarlyStopping(hyperparameters)
        self._epochs: list[EpochResult] = []
        self._fired: set[str] = set()
        self._chance = checks.chance_loss(
            train.images_per_class(hyperparameters.num_classes),
            train.records,
            multi_label=bool(hyperparameters.multi_label),
        )

    def fit(self) -> None:
        """Run the epochs that are left.

        After each the model directory holds the parameters of the best one so far (`history.best`) and training.json.
        Raises ContainerError when the loss becomes NaN or infinite; what there is then stays as it was before.
        """
        self._resume()
        contention = Contention(self._threads)
        while len(self._epochs) < self._hyperparameters.epochs and not self._stopping.stopped:
            self._add(self._run_epoch(len(self._epochs)))
            self._save()
            contention.look()
        best = history.best(self._epochs, self._selected_by)
        if self._stopping.stopped:
            value = best.validation[self._selected_by]
            log(f"Early stopping after epoch {len(self._epochs) - 1}: best validation {self._selected_by} {value:.6f}")
        # A tuner takes the last line that matches: it must be that of the epoch which the artifact holds.
        names = sorted(best.validation, key=self._selected_by.__eq__)
        log_metrics(f"Best: Epoch[{best.epoch}]", "Validation", {name: best.validation[name] for name in names})

    def _resume(self) -> None:
        """Go on from the first host's checkpoint, which every host is sent; its files stay on the first host."""
        checkpoint = self._checkpoints.load(log) if self._checkpoints is not None else None
        state = self._group.from_first(checkpoint.state() if checkpoint is not None else None)
        if state is None:
            if self._model is not None:
                self._model.clear()
            return
        for result in state["epochs"]:
            self._add(EpochResult(**result))
        arrays = {name: mx.nd.array(value, dtype=value.dtype) for name, value in state["arrays"].items()}
        self._learner.restore(arrays, updates=state["updates"])
        if self._model is not None and checkpoint is not None:
            self._model.restore(checkpoint.kept, self._document())
        log(f"Resumed from a checkpoint after {len(self._epochs)} epochs")

    def _add(self, result: EpochResult) -> None:
        self._epochs.append(result)
        self._stopping.add(result.validation[self._selected_by])
        for check in self._checks():
            if check.fired and check.name not in self._fired:
                self._fired.add(check.name)
                log(f"Warning: Epoch[{check.epoch}] {check.name}: {check.message}")

    def _save(self) -> None:
        if self._model is None:
            return
        self._model.keep(self._epochs[-1].epoch, self._learner.parameters(), self._document())
        if self._checkpoints is not None:
            self._checkpoints.save(
                self._epochs, updates=self._learner.updates, arrays=self._learner.state(), kept=self._model.kept()
            )

    def _checks(self, *, not_finite_in: int | None = None) -> list[checks.Check]:
        return checks.run(self._epochs, chance=self._chance, not_finite_in=not_finite_in)

    def _document(self, *, not_finite_in: int | None = None) -> dict[str, object]:
        return document.training(
            self._hyperparameters,
            self._epochs,
            self._checks(not_finite_in=not_finite_in),
            selected_by=self._selected_by,
            base_model=self._base_model,
        )

    def _run_epoch(self, epoch: int) -> EpochResult:
        try:
            # One result for all hosts, or they might not stop in the same epoch.
            return EpochResult(**self._group.from_first(asdict(self._train_and_validate(epoch))))
        except NotFiniteError as error:
            if not self._epochs:
                raise
            if self._model is not None:
                self._model.describe(self._document(not_finite_in=epoch))
            best = history.best(self._epochs, self._selected_by)
            raise ContainerError(f"{error}; the best model before, of epoch {best.epoch}, is kept") from None

    def _train_and_validate(self, epoch: int) -> EpochResult:
        rate = optimizers.learning_rate(self._hyperparameters, epoch)
        self._learner.set_learning_rate(rate)
        usage = Usage()
        trained = self._train_epoch(epoch)
        validated = self._validate(epoch)
        return EpochResult(
            epoch=epoch,
            learning_rate=rate,
            seconds=trained.seconds,
            images_per_second=trained.images / trained.seconds,
            data_wait_fraction=trained.data_wait_fraction,
            train=trained.metrics.named(),
            validation=validated.named(),
            gradient_norm=trained.norms.summary(),
            system=usage.measure(),
        )

    def _train_epoch(self, epoch: int) -> TrainingPass:
        trained = TrainingPass(self._learner, self._hyperparameters, epoch)
        part = (self._group.rank, self._group.size)
        trained.run(
            iterators.training(self._train, self._hyperparameters, threads=self._threads, epoch=epoch, part=part)
        )
        self._learner.agree()
        if epoch == 0 and self._base_model is None:
            self._learner.settle_batch_norm()
        self._learner.average_batch_norm()
        log_metrics(f"Epoch[{epoch}]", "Train", trained.metrics.named())
        log(f"Epoch[{epoch}] Time cost={trained.seconds:.3f}")
        log(f"Epoch[{epoch}] Data wait={trained.data_wait_fraction:.1%}")
        return trained

    def _validate(self, epoch: int) -> Metrics:
        batches = iterators.validation(self._validation, self._hyperparameters, threads=self._threads)
        validated = passes.validate(self._learner, batches, self._hyperparameters, epoch)
        log_metrics(f"Epoch[{epoch}]", "Validation", validated.named())
        return validated
