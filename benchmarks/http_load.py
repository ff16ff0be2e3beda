"""Requests from a second process, wrk: many connections at once, each with its next request when one is answered."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import BenchmarkError

TIMEOUT_SECONDS = 60
# wrk runs this: what to send, and one line of JSON in place of its own report. Latencies are in microseconds.
SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "image/jpeg"
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.body = file:read("*a")
  file:close()
end
function done(summary, latency, requests)
  local e = summary.errors
  print(string.format(
    '{"requests": %d, "seconds": %.6f, "errors": %d, "p50": %.6f, "p99": %.6f}',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one run of wrk found: seconds of the run, of the median and of the 99th percentile."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float


def check_wrk() -> None:
    """Raise BenchmarkError where wrk is missing."""
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk, which makes the load, is missing: install it (Debian: apt-get install wrk)")


def load(port: int, image: Path, *, connections: int, seconds: int, place: Path) -> Load:
    """Send ``image`` on so many connections for so long; BenchmarkError where wrk fails."""
    script = place / "load.lua"
    script.write_text(SCRIPT, encoding="utf-8")
    url = f"http://127.0.0.1:{port}/invocations"
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{TIMEOUT_SECONDS}s", "-s", str(script)]
    done = subprocess.run(["wrk", *options, url, "--", str(image)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return Load(**json.loads(done.stdout.strip().splitlines()[-1]))
