"""Entry point of the trainer container: `python -m train`, with SageMaker's argument `train` or none."""

import sys

from common.contract import ContainerError, run
from common.openmp import use_available_cores
from train.runtime import run_in_program_order


def main() -> None:
    """Train; mxnet is imported here, after what it reads at its import is set."""
    if sys.argv[1:] not in ([], ["train"]):
        raise ContainerError(f"argument {' '.join(sys.argv[1:])!r} is unknown; allowed: train, or none")
    threads = use_available_cores()
    run_in_program_order()
    from train import job

    job.run(threads)


if __name__ == "__main__":
    run(main, failure_file="failure")
