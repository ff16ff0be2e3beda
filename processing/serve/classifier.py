"""Takes the work off the event loop: images are read side by side, networks run in the order of the requests.

Large images have a thread of their own, one at a time, so that small ones do not wait for them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from serve.errors import SERVER_ERROR, SERVICE_UNAVAILABLE, RefusedRequest
from serve.facts import Facts, read_facts
from serve.images import Tensor, load_formats
from serve.limits import ANSWER_SECONDS
from serve.network import Network, Probabilities
from serve.requests import WantedImage

Result = TypeVar("Result")


class Classifier:
    """A loaded and warmed-up model; bounded pools keep memory bounded however many requests wait."""

    def __init__(self, folder: Path) -> None:
        self.facts: Facts = read_facts(folder)
        load_formats()
        self._network = Network(folder, self.facts)
        self._readers = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="reader")
        self._large_readers = ThreadPoolExecutor(1, thread_name_prefix="large-reader")
        self._runners = ThreadPoolExecutor(self._network.parallel, thread_name_prefix="runner")

    async def aside(self, work: Callable[[], Result]) -> Result:
        """Do CPU work in a reader's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    async def classify(self, images: Sequence[WantedImage], *, deadline: float) -> Probabilities:
        """Return probabilities (n, classes) of a few images.

        RefusedRequest for the first of them that cannot be read or has its turn after ``deadline``, a time of
        `time.monotonic`, and for a network that answers no numbers.
        """
        outcomes = await asyncio.gather(*(self._read(image, deadline) for image in images), return_exceptions=True)
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

    async def _read(self, image: WantedImage, deadline: float) -> Tensor:
        def read() -> Tensor:
            if time.monotonic() > deadline:
                message = f"its turn has not come within {ANSWER_SECONDS:g} seconds: try again in a moment"
                raise RefusedRequest("timeout", message, status=SERVICE_UNAVAILABLE)
            return image.read()

        readers = self._large_readers if image.large else self._readers
        return await asyncio.get_running_loop().run_in_executor(readers, read)

    def close(self) -> None:
        """End the threads after the work that they have."""
        self._readers.shutdown()
        self._large_readers.shutdown()
        self._runners.shutdown()
