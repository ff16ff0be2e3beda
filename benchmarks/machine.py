"""What a measurement ran on: processors, memory, load, and the versions of the libraries."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import psutil

from benchmarks.contestants import python_with

_PROBE = "import cv2, json, numpy; print(json.dumps([cv2.__version__, numpy.__version__, cv2.getBuildInformation()]))"


def machine() -> dict[str, Any]:
    """Return processor model, usable cores, memory in bytes, and the load of the last minute."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "load_before": os.getloadavg()[0],
        "system": platform.platform(),
    }


def our_versions() -> dict[str, str]:
    """Return the versions of what imgpipe packs with."""
    names = ("simplejpeg", "opencv-python-headless", "numpy", "pillow")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in names},
        "opencv_jpeg": _jpeg_library(cv2.getBuildInformation()),
    }


def peer_versions(libraries: Path | None) -> dict[str, str]:
    """Return OpenCV, its JPEG library and NumPy as im2rec.py finds them with ``libraries`` first on its path."""
    python, environment = python_with(libraries)
    done = subprocess.run([python, "-c", _PROBE], env=dict(environment), capture_output=True, text=True, check=True)
    opencv, numpy, build = json.loads(done.stdout)
    return {"opencv": opencv, "opencv_jpeg": _jpeg_library(build), "numpy": numpy}


def _jpeg_library(build: str) -> str:
    """Return name and version of the JPEG library from OpenCV's build information, and whether it has SIMD code."""
    lines = [line.strip() for line in build.splitlines()]
    library = next((line.removeprefix("JPEG:").strip() for line in lines if line.startswith("JPEG:")), "unknown")
    # Only builds that have it mention it, with one line for each answer.
    simd = "with" if any(line.split() == ["SIMD", "Support:", "YES"] for line in lines) else "without"
    return f"{library}, {simd} SIMD"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
