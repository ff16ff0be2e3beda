"""Runs the packaged network with ONNX Runtime."""

from __future__ import annotations

import os
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from common.contract import ContainerError
from serve.facts import NETWORK_NAME, Facts
from serve.images import Tensor
from serve.onnx_runtime import onnxruntime

INPUT_NAME = "data"
WARM_UP_RUNS = 2
# Measured with ResNet-18 at 224 on two cores: two threads take 13 ms where one takes 31, and two images at a time with
# one thread each get 80 images/s where one after the other with two threads gets 72. So an image gets these threads and
# waits its turn: the fastest answer when alone, and even waits under load. More threads per image hardly help.
THREADS_PER_IMAGE = 4
SPIN_MICROSECONDS = "100"
ERROR_LEVEL = 3

Probabilities = npt.NDArray[np.float32]


class Network:
    """Sessions of one network, as many as run side by side; `run` may be called from ``parallel`` threads."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        cores = len(os.sched_getaffinity(0))
        self.parallel = max(1, cores // THREADS_PER_IMAGE)
        self._facts = facts
        self._sessions: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.parallel):
            session = _session(folder / NETWORK_NAME, threads=cores // self.parallel)
            _warm_up(session, folder / NETWORK_NAME, facts)
            self._sessions.put(session)

    def run(self, tensors: list[Tensor]) -> Probabilities:
        """Return probabilities (n, classes) of n images of the model's shape; waits where all sessions are busy."""
        session = self._sessions.get()
        try:
            (output,) = session.run(None, {INPUT_NAME: np.stack(tensors)})
        finally:
            self._sessions.put(session)
        probabilities: Probabilities = output
        return probabilities


def _session(path: Path, *, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERROR_LEVEL
    # Threads that spin hand work over faster. But where others take the cores, spinning for long (the default) takes
    # 2 to 4 times as long as sleeping soon; and between requests the cores are for others.
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_MICROSECONDS)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors share no base class
        raise ContainerError(f"{path} cannot be loaded: {_one_line(error)}; package the model again") from None


def _warm_up(session: Any, path: Path, facts: Facts) -> None:
    """Run on a black image, so that the first request finds memory and kernels ready; checks input and output too."""
    black = np.zeros((1, *facts.image_shape), np.float32)
    try:
        for _ in range(WARM_UP_RUNS):
            outputs = session.run(None, {INPUT_NAME: black})
    except Exception as error:  # as above
        raise ContainerError(f"{path} does not take {facts.image_shape} images: {_one_line(error)}") from None
    expected = (1, len(facts.labels))
    if len(outputs) != 1 or outputs[0].shape != expected:
        shapes = ", ".join(str(output.shape) for output in outputs)
        raise ContainerError(f"{path} answers {shapes} for one image, labels.json names {expected[1]} classes")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
