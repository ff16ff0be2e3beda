"""The endpoint's own program as a process of its own, and requests to it one after the other."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.contestants import ROOT
from benchmarks.measure import BenchmarkError

OK = 200
PATIENCE_SECONDS = 120
_LEFT_OUT = ("OMP_", "ORT_", "PYTHON", "IMGPIPE_", "SAGEMAKER_")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running server; ``started`` is the clock (time.perf_counter) at which its process was begun."""

    process: subprocess.Popen[bytes]
    port: int
    started: float

    @property
    def resident_bytes(self) -> int:
        """Memory of the process that is in use (RSS)."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def seconds(self, image: Path, runs: int) -> list[float]:
        """Return what each of ``runs`` requests takes on one connection; BenchmarkError where one is refused."""
        body = image.read_bytes()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        found = []
        for _ in range(runs):
            start = time.perf_counter()
            connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg"})
            response = connection.getresponse()
            content = response.read()
            found.append(time.perf_counter() - start)
            if response.status != OK:
                raise BenchmarkError(f"the server answered {response.status}: {content.decode(errors='replace')}")
        connection.close()
        return found


@contextmanager
def serving(model: Path) -> Iterator[Server]:
    """Serve a packaged model's folder while open; what the server logs goes to a file, as in a container."""
    with tempfile.TemporaryDirectory(dir=model.parent, prefix="serve-") as place:
        root = Path(place)
        (root / "model").symlink_to(model.resolve())
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
        own = {"ML_ROOT": place, "PYTHONPATH": str(ROOT / "processing"), "SAGEMAKER_BIND_TO_PORT": "0"}
        command = [sys.executable, "-m", "serve", "serve", "--host", "127.0.0.1"]
        with (root / "log.txt").open("wb") as log:
            started = time.perf_counter()
            process = subprocess.Popen(command, env=kept | own | {"PYTHONUNBUFFERED": "1"}, stdout=log, stderr=log)
        try:
            yield Server(process=process, port=_port(process, root / "log.txt"), started=started)
        finally:
            process.terminate()
            process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return the port once the server has logged it."""
    while process.poll() is None:
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
            if line.endswith("\n") and '"listening"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.005)
    raise BenchmarkError(f"the server did not start: {log.read_text(encoding='utf-8', errors='replace').strip()}")
