"""What the tests of the classification functions share: Lambda's context, an account, pictures."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

DATA, ARTIFACTS, ENDPOINT = "imgpipe-dev-data", "imgpipe-dev-artifacts", "imgpipe-dev"
CONTEXT = SimpleNamespace(
    aws_request_id="request", function_name="function", memory_limit_in_mb=256, invoked_function_arn="arn"
)
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "ARTIFACT_BUCKET": ARTIFACTS,
    "ENDPOINT_NAME": ENDPOINT,
    "MAX_PAYLOAD_BYTES": "5700000",
    "RESULT_EXPIRY_DAYS": "365",
}


def photo(width: int = 300, height: int = 200, *, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """A picture with soft colours, and a mark at its top left."""
    small = np.random.default_rng(seed).integers(0, 200, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    image.paste((255, 0, 0), (0, 0, max(1, width // 4), max(1, height // 4)))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """The picture as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """A file's bytes as a decoded picture."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
