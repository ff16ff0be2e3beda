"""How MXNet's OpenMP uses the cores; call it before mxnet is imported, for both read the environment once."""

import os

# Rounds that GNU's OpenMP, which MXNet's wheel links, spins at a barrier before it sleeps. Its own 300,000 take longer
# than the scheduler needs to give the core away: with one busy process beside two threads training nearly stood still
# (below 58 images/s, of 425 without that process; ResNet-20 at 32x32). With 5,000 it is 85, of 412: docs/training.md.
SPIN_COUNT = "5000"


def use_available_cores() -> int:
    """Let OpenMP use every core this process may run on, and share them; returns the number of threads.

    MXNet stays on one core without OMP_NUM_THREADS (30 against 56 images/s on two cores, ResNet-18 at 224x224). What
    is already set is respected. How long a thread spins changes no result; the number of threads does.
    """
    if "OMP_WAIT_POLICY" not in os.environ:  # says the same in words
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    return int(threads.split(",")[0])
