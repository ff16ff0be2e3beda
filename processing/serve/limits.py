"""What one request may ask of this machine, and what many may together."""

from __future__ import annotations

import os
from dataclasses import dataclass

from common.contract import ContainerError

MEBIBYTE = 1024**2
# What a real-time endpoint takes; the deployment sets what its endpoint allows.
DEFAULT_PAYLOAD_BYTES = 6 * MEBIBYTE
# A phone's largest photograph. The packer takes more, but has a machine to itself.
MAX_PIXELS = 50_000_000
# Of all images of a list: a small body may declare very many, which would keep the machine from other requests.
MAX_REQUEST_PIXELS = 100_000_000
# From here on images are decoded one at a time: a picture of MAX_PIXELS may take 600 MB while it is decoded.
LARGE_PIXELS = 12_500_000
MAX_IMAGES = 1000
# Requests that are being read, wait or are worked on, so that their bodies fit in memory.
MAX_REQUESTS = 128
# SageMaker gives up a request after 60 seconds; a body that is still not here by then has no reader any more.
BODY_SECONDS = 60.0
# Nor has the answer, so what still waits for its turn by then is not begun any more.
ANSWER_SECONDS = 60.0
# Of a transform job that sets no limit, which it says by 0: it still has to fit in memory.
UNLIMITED_MEGABYTES = 100
# The most that a transform job may have under way: MaxConcurrentTransforms times MaxPayloadInMB.
# Source: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
TRANSFORM_MEGABYTES = 100


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits that the deployment chooses; ``payload_bytes`` is the size of a request's body."""

    payload_bytes: int = DEFAULT_PAYLOAD_BYTES


def limits_of_environment() -> Limits:
    """Read IMGPIPE_MAX_PAYLOAD_BYTES; a transform job's own limit where it is absent; ContainerError for no number."""
    for name, unit in (("IMGPIPE_MAX_PAYLOAD_BYTES", 1), ("SAGEMAKER_MAX_PAYLOAD_IN_MB", MEBIBYTE)):
        text = os.environ.get(name)
        if text == "0" and unit == MEBIBYTE:
            return Limits(payload_bytes=UNLIMITED_MEGABYTES * unit)
        if text:
            if not (text.isascii() and text.isdigit() and int(text)):
                raise ContainerError(f"{name} must be a whole number of at least 1, got {text!r}")
            return Limits(payload_bytes=int(text) * unit)
    return Limits()
