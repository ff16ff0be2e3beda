"""Norms of the gradients over an epoch, of the whole network and of each layer."""

import math
from collections.abc import Mapping


class Norms:
    """Collects the layers' norms (L2, of the gradient averaged over the batch) of some batches of one epoch."""

    def __init__(self) -> None:
        self._whole: list[float] = []
        self._layers: dict[str, float] = {}

    def add(self, layers: Mapping[str, float]) -> bool:
        """Add one batch, by the name of each layer's weights; False where a norm is NaN or infinite."""
        self._whole.append(math.hypot(*layers.values()))
        for name, norm in layers.items():
            self._layers[name] = self._layers.get(name, 0.0) + norm
        return math.isfinite(self._whole[-1])

    def summary(self) -> dict[str, float | str]:
        """mean, max: of the whole network over the batches; smallest, largest: of the layers' means over the batches.

        Layers are convolutions and dense layers, whose weights do nearly all of the work.
        """
        means = {name: total / len(self._whole) for name, total in self._layers.items()}
        smallest, largest = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
        return {
            "mean": sum(self._whole) / len(self._whole),
            "max": max(self._whole),
            "smallest_layer": smallest,
            "smallest": means[smallest],
            "largest_layer": largest,
            "largest": means[largest],
        }
