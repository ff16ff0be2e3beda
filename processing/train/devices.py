"""The devices a job computes on, and the number format they allow."""

import mxnet as mx

from common.contract import ContainerError


def contexts(gpus: int, smallest_batch: int) -> list[mx.Context]:
    """Every GPU, each of which needs at least one image of the smallest batch; the CPU, with all its cores, else."""
    return [mx.gpu(number) for number in range(min(gpus, smallest_batch))] or [mx.cpu()]


def check_precision(precision: str, gpus: int) -> None:
    """Refuse float16 where there is nothing that computes with it."""
    if precision == "float16" and gpus == 0:
        raise ContainerError(
            "precision_dtype is float16, but this job has no GPU, and a processor computes with float32 only; "
            "set precision_dtype to float32, or give the job an instance with a GPU and the GPU image"
        )
