"""Takes the work off the event loop: images are read side by side, networks run in the order of the requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from serve.errors import SERVER_ERROR, RefusedRequest
from serve.facts import Facts, read_facts
from serve.images import Tensor, load_formats
from serve.network import Network, Probabilities

Result = TypeVar("Result")


class Classifier:
    """A loaded and warmed-up model; bounded pools keep memory bounded however many requests wait."""

    def __init__(self, folder: Path) -> None:
        self.facts: Facts = read_facts(folder)
        load_formats()
        self._network = Network(folder, self.facts)
        self._readers = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="reader")
        self._runners = ThreadPoolExecutor(self._network.parallel, thread_name_prefix="runner")

    async def aside(self, work: Callable[[], Result]) -> Result:
        """Do CPU work in a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def classify(self, images: Sequence[Callable[[], Tensor]]) -> Probabilities:
        """Return probabilities (n, classes) of a few images, each given as a function that reads it.

        RefusedRequest for the first of them that cannot be read, and for a network that answers no numbers.
        """
        outcomes = await asyncio.gather(*(self.aside(image) for image in images), return_exceptions=True)
        tensors: list[Tensor] = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
            tensors.append(outcome)
        loop = asyncio.get_running_loop()
        probabilities = await loop.run_in_executor(self._runners, self._network.run, tensors)
        if not np.isfinite(probabilities).all():
            raise RefusedRequest("no_probability", "the model answers NaN or infinity", status=SERVER_ERROR)
        return probabilities

    def close(self) -> None:
        """End the threads after the work that they have."""
        self._readers.shutdown()
        self._runners.shutdown()
