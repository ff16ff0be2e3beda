"""A server or the scheduler of MXNet's parameter server, by DMLC_ROLE: `python -m train.cluster_process`."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Serve until every worker has ended, or the process that started this one is gone."""
    # Who stops a whole process group means the trainer, which cannot end in order when its server is gone before it.
    for ends in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(ends, signal.SIG_IGN)
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the trainer ended before its server began")
    # An import as a server runs it, and exits.
    import mxnet  # noqa: F401


if __name__ == "__main__":
    main()
