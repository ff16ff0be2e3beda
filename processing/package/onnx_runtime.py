"""ONNX Runtime as this project uses it: it tells nobody what it runs."""

from __future__ import annotations

import os

# Microsoft's wheels report sessions, models and machine to it, and keep an id of the machine, unless this is set before
# the import. Source: https://github.com/microsoft/onnxruntime/pull/27379.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

__all__ = ["onnxruntime"]
