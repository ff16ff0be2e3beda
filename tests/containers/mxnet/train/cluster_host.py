"""A host of a job that only adds up: `python cluster_host.py ok | fail | kill | stop | server`, by what happens."""

import os
import signal
import sys
import time
from pathlib import Path

from common.contract import ContainerError, ml_root, run
from train import cluster


def main() -> None:
    """Push and pull four times; before the third the second host or its server ends, or the first is stopped."""
    fate = sys.argv[1]
    hosts = cluster.read(ml_root() / "input" / "config" / "resourceconfig.json")
    with cluster.joined(hosts) as group:
        import mxnet as mx

        kvstore = group.kvstore()
        kvstore.init("sum", mx.nd.zeros((3,)))
        print("ranks", group.gather(group.rank), "first", group.from_first(f"of {group.rank}"), flush=True)
        for step in range(4):
            if step == 2 and group.rank == 1 and fate == "fail":
                raise ContainerError("no more images")
            if step == 2 and group.rank == 1 and fate == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if step == 2 and group.rank == 0 and fate == "stop":
                os.kill(os.getpid(), signal.SIGTERM)
            if step == 2 and group.rank == 1 and fate == "server":
                end_server()
            total = mx.nd.zeros((3,))
            kvstore.push("sum", mx.nd.ones((3,)) * (group.rank + 1))
            kvstore.pull("sum", out=total)
            print("sum", total.asnumpy().tolist(), flush=True)


def end_server() -> None:
    """Kill this host's only other process, and do nothing more that could end the job."""
    (server,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    os.kill(int(server), signal.SIGKILL)
    time.sleep(600)


run(main, failure_file="failure")
