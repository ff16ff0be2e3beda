"""Early stopping on a validation metric with the built-in algorithm's settings."""

from train.hyperparameters import Hyperparameters


class EarlyStopping:
    """Counts epochs without improvement; an improvement is relative to the best value so far."""

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        self._active = hyperparameters.early_stopping
        self._min_epochs = hyperparameters.early_stopping_min_epochs
        self._patience = hyperparameters.early_stopping_patience
        self._tolerance = hyperparameters.early_stopping_tolerance
        self._best: float | None = None
        self._epochs = 0
        self._waited = 0

    def add(self, value: float) -> None:
        """Take the validation accuracy, or F1, of the epoch that just ended."""
        self._epochs += 1
        if self._improves(value):
            self._best = value
            self._waited = 0
        else:
            self._waited += 1

    @property
    def stopped(self) -> bool:
        """True if the last epoch that was added is the last one to run."""
        return self._active and self._epochs >= self._min_epochs and self._waited >= self._patience

    def _improves(self, value: float) -> bool:
        if not self._best:
            return self._best is None or value > 0
        gain = (value - self._best) / self._best
        return gain > 0 and gain >= self._tolerance
