"""A host of a job that only adds up: `python cluster_host.py ok | fail | kill | stop`, by what happens to it."""

import os
import signal
import sys

from common.contract import ContainerError, ml_root, run
from train import cluster


def main() -> None:
    """Push and pull four times; the second host fails or is killed, or the first is stopped, before the third."""
    fate = sys.argv[1]
    hosts = cluster.read(ml_root() / "input" / "config" / "resourceconfig.json")
    with cluster.joined(hosts) as group:
        import mxnet as mx

        kvstore = group.kvstore("dist_sync")
        kvstore.init("sum", mx.nd.zeros((3,)))
        print("ranks", group.gather(group.rank), "first", group.from_first(f"of {group.rank}"), flush=True)
        for step in range(4):
            if step == 2 and group.rank == 1 and fate == "fail":
                raise ContainerError("no more images")
            if step == 2 and group.rank == 1 and fate == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if step == 2 and group.rank == 0 and fate == "stop":
                os.kill(os.getpid(), signal.SIGTERM)
            total = mx.nd.zeros((3,))
            kvstore.push("sum", mx.nd.ones((3,)) * (group.rank + 1))
            kvstore.pull("sum", out=total)
            print("sum", total.asnumpy().tolist(), flush=True)


run(main, failure_file="failure")
