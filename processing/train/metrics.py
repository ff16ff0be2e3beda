"""Running accuracy, top-k accuracy and cross-entropy over batches of probabilities."""

import numpy as np

# Keeps the logarithm finite where a probability underflowed to 0.
SMALLEST = 1e-12


class Metrics:
    """Sums over every image given to `update`."""

    def __init__(self, *, top_k: int | None) -> None:
        self._top_k = top_k
        self._images = 0
        self._correct = 0
        self._in_top_k = 0
        self._loss = 0.0

    def update(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch: probabilities (N, classes), class indices (N)."""
        classes = labels.astype(np.intp)
        of_label = probabilities[np.arange(len(classes)), classes]
        self._images += len(classes)
        self._correct += int((probabilities.argmax(axis=1) == classes).sum())
        self._loss -= float(np.log(np.maximum(of_label, SMALLEST)).sum())
        if self._top_k is not None:
            ranks = (probabilities > of_label[:, np.newaxis]).sum(axis=1)
            self._in_top_k += int((ranks < self._top_k).sum())

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable class is the label."""
        return self._correct / self._images

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return self._loss / self._images

    def named(self) -> dict[str, float]:
        """Values under MXNet's metric names, in the order in which they are logged."""
        values = {"accuracy": self.accuracy, "cross-entropy": self.loss}
        if self._top_k is not None:
            values[f"top_k_accuracy_{self._top_k}"] = self._in_top_k / self._images
        return values
