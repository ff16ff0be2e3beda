"""Running metrics over batches of probabilities: for one label per image, and for several."""

from typing import Protocol

import numpy as np

LOSS = "cross-entropy"
# Keeps the logarithm finite where a probability underflowed to 0.
SMALLEST = 1e-12
# From this probability on a class counts as found in an image with several labels.
THRESHOLD = 0.5


class Metrics(Protocol):
    """Sums over every image given to `update`."""

    def update(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch: probabilities (N, classes), labels (N) or (N, classes)."""

    def named(self) -> dict[str, float]:
        """Values under MXNet's metric names, in the order in which they are logged."""


class OneLabelMetrics:
    """Accuracy, cross-entropy (mean, in nats) and top-k accuracy of images with one label each."""

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

    def named(self) -> dict[str, float]:
        """accuracy: share of images whose most probable class is the label."""
        values = {"accuracy": self._correct / self._images, LOSS: self._loss / self._images}
        if self._top_k is not None:
            values[f"top_k_accuracy_{self._top_k}"] = self._in_top_k / self._images
        return values


class MultiLabelMetrics:
    """Accuracy, F1 and cross-entropy (in nats) of images with several labels; a class is found from THRESHOLD on."""

    def __init__(self, *, num_classes: int) -> None:
        self._images = 0
        self._found = np.zeros(num_classes)
        self._missed = np.zeros(num_classes)
        self._false = np.zeros(num_classes)
        self._loss = 0.0

    def update(self, probabilities: np.ndarray, labels: np.ndarray) -> None:
        """Add a batch: probabilities (N, classes), 0 or 1 for each class (N, classes)."""
        said, true = probabilities >= THRESHOLD, labels > 0
        self._images += len(labels)
        self._found += (said & true).sum(axis=0)
        self._missed += (~said & true).sum(axis=0)
        self._false += (said & ~true).sum(axis=0)
        of_label = np.where(true, probabilities, 1 - probabilities)
        self._loss -= float(np.log(np.maximum(of_label, SMALLEST)).mean(axis=1).sum())

    def named(self) -> dict[str, float]:
        """accuracy: share of right answers, mean over the classes; f1: mean over the classes that occur; mean loss."""
        wrong = self._missed + self._false
        occurs = self._found + self._missed > 0
        f1 = 2 * self._found[occurs] / (2 * self._found + wrong)[occurs]
        return {
            "accuracy": float(1 - (wrong / self._images).mean()),
            "f1": float(f1.mean()) if len(f1) else 0.0,
            LOSS: self._loss / self._images,
        }


def create(*, num_classes: int, multi_label: bool, top_k: int | None) -> Metrics:
    """Metrics for the labels of a job, all sums at 0."""
    return MultiLabelMetrics(num_classes=num_classes) if multi_label else OneLabelMetrics(top_k=top_k)


def selecting(*, multi_label: bool) -> str:
    """Name of the validation metric that decides which epoch is the best and when to stop early."""
    return "f1" if multi_label else "accuracy"
