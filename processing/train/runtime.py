"""Settings that MXNet takes from environment variables."""

import os
from pathlib import Path


def run_in_program_order(devices: Path = Path("/dev")) -> None:
    """Let MXNet finish each operation before it returns, which makes equal runs equal.

    Its threaded engine overlaps operations whose order it believes to be open, though the backward pass of batch
    normalisation writes statistics that it does not declare: equal runs drift apart after an epoch or two. On a CPU
    every operation uses all cores anyway, so nothing is lost. GPUs are fast only where copies and kernels overlap, so
    on a machine that has some nothing is changed, and runs are not repeatable. Must run before mxnet is imported.
    """
    if not any(devices.glob("nvidia[0-9]*")):
        os.environ.setdefault("MXNET_ENGINE_TYPE", "NaiveEngine")


def score_with_current_weights() -> None:
    """Switch operator fusion off, which MXNet reads whenever it binds a network.

    A fused inference network keeps a copy of the folded weights from its first pass, so validation in a training job
    would go on scoring the weights of the first epoch.
    """
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"


def update_on_the_devices() -> None:
    """Let every device update its own copy of the weights, with the sum of all gradients, instead of the kvstore.

    MXNet reads it when the optimizer is initialised. The optimizer's arrays are then where a checkpoint finds them.
    """
    os.environ["MXNET_UPDATE_ON_KVSTORE"] = "0"
