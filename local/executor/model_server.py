"""A serving container while it is up: started on a port of this machine, asked, ended."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from local.containers.job import ContainerJob, Ended, Runtime
from local.executor.tools import LinkedStop, StepFailed

_HOST: Final = "127.0.0.1"
_OK: Final = 200
_GATEWAY_TIMEOUT: Final = 504
_POLL_SECONDS: Final = 0.05
_START_SECONDS: Final = 120.0
_PING_SECONDS: Final = 2.0  # what SageMaker gives a container for the answer


@dataclass(frozen=True)
class Refusal:
    """An answer that is not 2xx, in one line."""

    status: int
    message: str

    def __str__(self) -> str:
        return f"status {self.status}: {self.message}"


class ModelServer:
    """Runs a job whose program answers SageMaker's /ping and /invocations; `invoke` may be called from any thread."""

    def __init__(
        self, job: ContainerJob, runtime: Runtime, *, stop: threading.Event, on_line: Callable[[str], None]
    ) -> None:
        self._port = _free_port()
        environment = {**job.environment, "SAGEMAKER_BIND_TO_PORT": str(self._port)}
        self._job = replace(job, environment=environment, port=self._port)
        self._runtime = runtime
        self._stop = stop
        self._on_line = on_line

    @contextmanager
    def running(self) -> Iterator[None]:
        """Up while open; raises StepFailed where the program ends by itself or does not get ready."""
        halt = LinkedStop(self._stop)
        with ThreadPoolExecutor(1, thread_name_prefix="server") as pool:
            ended = pool.submit(self._runtime.run, self._job, on_line=self._on_line, stop=halt)
            try:
                self._wait(ended)
                yield
            finally:
                halt.set()

    def invoke(self, body: bytes, *, headers: Mapping[str, str], timeout: float) -> bytes | Refusal:
        """The answer to one request; a server that cannot be reached any more is a StepFailed."""
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=timeout)
        try:
            connection.request("POST", "/invocations", body=body, headers=dict(headers))
            response = connection.getresponse()
            content = response.read()
        except TimeoutError:
            return Refusal(_GATEWAY_TIMEOUT, f"no answer within {timeout:g} s")
        except (OSError, http.client.HTTPException) as error:
            raise StepFailed(f"AlgorithmError: the model's container does not answer: {error!r}") from error
        finally:
            connection.close()
        return content if response.status == _OK else Refusal(response.status, _message(content))

    def _wait(self, ended: Future[Ended]) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while not self._ready():
            if ended.done():
                reason = ended.result().reason("the model's container ended before it was ready, see its log")
                raise StepFailed(reason)
            if self._stop.is_set():
                raise StepFailed("stopped")
            if time.monotonic() > give_up:
                raise StepFailed(f"AlgorithmError: the model's container was not ready after {_START_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=_PING_SECONDS)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == _OK
        except (OSError, http.client.HTTPException):
            return False  # not yet
        finally:
            connection.close()


def _message(content: bytes) -> str:
    """The reason in an answer of our serving container, else the beginning of the answer."""
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return " ".join(content[:200].decode(errors="replace").split()) or "no reason given"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
