"""Early stopping on validation accuracy with the built-in algorithm's settings."""

from train.hyperparameters import Hyperparameters


class EarlyStopping:
    """Counts epochs without improvement; an improvement is relative to the best accuracy so far."""

    def __init__(self, hyperparameters: Hyperparameters) -> None:
        self._active = hyperparameters.early_stopping
        self._min_epochs = hyperparameters.early_stopping_min_epochs
        self._patience = hyperparameters.early_stopping_patience
        self._tolerance = hyperparameters.early_stopping_tolerance
        self._best: float | None = None
        self._epochs = 0
        self._waited = 0

    def should_stop(self, accuracy: float) -> bool:
        """Take the validation accuracy of the epoch that just ended; True if it is the last one to run."""
        self._epochs += 1
        if self._improves(accuracy):
            self._best = accuracy
            self._waited = 0
        else:
            self._waited += 1
        return self._active and self._epochs >= self._min_epochs and self._waited >= self._patience

    def _improves(self, accuracy: float) -> bool:
        if not self._best:
            return self._best is None or accuracy > 0
        gain = (accuracy - self._best) / self._best
        return gain > 0 and gain >= self._tolerance
