"""Lines on stdout, which metric definitions and the local run read while a job runs."""

from collections.abc import Mapping


def log(line: str) -> None:
    """Write a line at once."""
    print(line, flush=True)


def log_metrics(prefix: str, split: str, values: Mapping[str, float]) -> None:
    """Write one line for each metric, as `Epoch[3] Train-accuracy=0.910000`."""
    for name, value in values.items():
        log(f"{prefix} {split}-{name}={value:.6f}")
