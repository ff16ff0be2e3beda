"""Several instances as one trainer: MXNet's parameter server among them, and one end for all.

The first host runs the server's scheduler, every host a server and a worker, which is this process. Gradients are
summed by the servers (kv_store dist_sync) and every host takes the same step, so all hold the same weights; what is
not a gradient goes over the `Lifeline`. Variables: https://mxnet.apache.org/versions/1.9.1/api/faq/distributed_training
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from common.contract import MESSAGE_LIMIT_BYTES, ContainerError, ml_root
from train import meeting
from train.lifeline import Lifeline
from train.meeting import Peer

# Where each job finds ports of its own: two jobs may run on one machine. Above the ports that services have, below
# those that Linux gives to outgoing connections (32768).
FIRST_PORT, PORTS = 20_000, 12_000
RESOLVE_SECONDS = 300.0


class Hosts(NamedTuple):
    """The hosts of a job as resourceconfig.json lists them, and which one this is."""

    names: tuple[str, ...]
    rank: int

    @property
    def size(self) -> int:
        """Number of hosts."""
        return len(self.names)


class Group:
    """This host among the others."""

    def __init__(self, hosts: Hosts, line: Lifeline | None) -> None:
        self.rank, self.size = hosts.rank, hosts.size
        self._line = line
        self._kvstore: Any = None

    def gather(self, value: object) -> list[Any]:
        """The values of all hosts in the hosts' order; every host must call it equally often.

        Values are JSON's, and numpy arrays: an NDArray is shared memory, of no use to another machine.
        """
        return self._line.gather(value) if self._line is not None else [value]

    def kvstore(self) -> Any:
        """MXNet's kvstore that adds up what all hosts push; one is all that a process can have."""
        import mxnet as mx  # after the environment is set

        self._kvstore = mx.kv.create("dist_sync")
        return self._kvstore

    def leave(self) -> None:
        """Let the process end without the others and its server, for which the kvstore would wait at its end."""
        if self._kvstore is not None:
            from mxnet.base import _LIB, check_call

            check_call(_LIB.MXKVStoreSetBarrierBeforeExit(self._kvstore.handle, 0))

    def from_first(self, value: object) -> Any:
        """The first host's value, on every host."""
        return self.gather(value if self.rank == 0 else None)[0]


# What a job on one instance is.
ALONE = Group(Hosts(("localhost",), 0), None)


def read(path: Path) -> Hosts:
    """The hosts of SageMaker's resourceconfig.json; one where there is no such file, as in a run by hand."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(str(name) for name in content["hosts"])
        return Hosts(names, names.index(str(content["current_host"])))
    except FileNotFoundError:
        return Hosts(("localhost",), 0)
    except (ValueError, KeyError, TypeError) as error:
        raise ContainerError(f"{path} does not name current_host among hosts: {error}") from None


@contextmanager
def joined(hosts: Hosts) -> Iterator[Group]:
    """Be one of the hosts: within the block `mx.kv.create` finds the others.

    ContainerError where a host does not come. When another host fails, or is gone, this process ends with its reason;
    when the block fails, the others do. The processes started here end with this one however it ends.
    """
    if hosts.size == 1:
        yield Group(hosts, None)
        return
    job = os.environ.get("TRAINING_JOB_NAME", "training")
    port = ports(job)
    first, own = (_address(hosts.names[rank]) for rank in (0, hosts.rank))
    line = Lifeline(_peers(hosts, job, first, own, port + 1), is_first=hosts.rank == 0, lost=_end)
    os.environ.update(_variables(hosts, first, own, port) | {"DMLC_ROLE": "worker"})
    helpers = {role: _helper(role) for role in (("scheduler", "server") if hosts.rank == 0 else ("server",))}
    for role, helper in helpers.items():
        needs = f"; it needs port {port}" if role == "scheduler" else ""
        what = f"the {role} process of host {hosts.names[hosts.rank]}"
        threading.Thread(target=_watch, args=(helper, what, needs, line), name=f"watch-{role}", daemon=True).start()
    group = Group(hosts, line)
    try:
        yield group
        line.finish()
    except BaseException as error:
        line.fail(f"host {hosts.names[hosts.rank]} has ended: {_reason(error)}")
        raise
    finally:
        group.leave()
        _stop(helpers.values())


def ports(job: str) -> int:
    """The first of two ports of a job, worked out from its name, which is all that its hosts have in common."""
    return FIRST_PORT + 2 * (zlib.crc32(job.encode()) % (PORTS // 2))


def _peers(hosts: Hosts, job: str, first: str, own: str, port: int) -> list[Peer]:
    """The hosts that this one is connected with."""
    if hosts.rank == 0:
        others = {name: _address(name) for name in hosts.names[1:]}
        return meeting.accept((first, port), job, hosts.names[0], others)
    return meeting.connect((first, port), job, hosts.names[hosts.rank], hosts.names[0], source=own)


def _variables(hosts: Hosts, first: str, own: str, port: int) -> dict[str, str]:
    return {
        "DMLC_PS_ROOT_URI": first,
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_SERVER": str(hosts.size),
        "DMLC_NUM_WORKER": str(hosts.size),
        "DMLC_NODE_HOST": own,
    }


def _address(name: str) -> str:
    """The IP address of a host; its name may be unknown for as long as it is starting."""
    deadline = time.monotonic() + RESOLVE_SECONDS
    while True:
        try:
            return socket.gethostbyname(name)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ContainerError(f"host {name} has no address: {error}") from None
            time.sleep(1.0)


def _helper(role: str) -> subprocess.Popen[bytes]:
    """A process of the parameter server; it only adds up, on one thread, so that the worker has the cores."""
    environment = os.environ | {"DMLC_ROLE": role, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", "train.cluster_process"], env=environment)


def _watch(helper: subprocess.Popen[bytes], what: str, needs: str, line: Lifeline) -> None:
    """End the job when a helper ends before it; without one the hosts would wait for ever."""
    code = helper.wait()
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    line.end(f"{what} has ended {how}; its log may say why{needs}")


def _stop(helpers: Iterable[subprocess.Popen[bytes]]) -> None:
    for helper in helpers:
        helper.kill()
        helper.wait()


def _reason(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "it was stopped" if error.code == 128 + signal.SIGTERM else f"exit code {error.code}"
    return " ".join(str(error).split()) or type(error).__name__


def _end(reason: str) -> None:
    """End this process at once: its main thread may be waiting for the lost host where no exception reaches it."""
    path = ml_root() / "output" / "failure"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(reason.encode(errors="backslashreplace")[:MESSAGE_LIMIT_BYTES])
    except OSError as error:
        reason = f"{reason} (and {path} cannot be written: {error.strerror})"
    finally:
        try:
            print(reason, file=sys.stderr, flush=True)
        finally:
            os._exit(1)
