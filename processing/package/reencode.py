"""Makes an image file smaller, and reads it as the model gets it."""

from __future__ import annotations

import cv2
import numpy as np

from package.onnx_model import Images

# Falling; what is worse than the last is no picture that a camera would send.
QUALITIES = (90, 75, 60, 45)


def smaller_image(payload: bytes, *, limit: int) -> bytes | None:
    """Return a JPEG or PNG as a JPEG of as many pixels and at most ``limit`` bytes; None if none is so small."""
    pixels = _decoded(payload)
    for quality in QUALITIES:
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(encoded) <= limit:
            return encoded.tobytes()
    return None


def centre_crop(payload: bytes, shape: tuple[int, int, int]) -> Images:
    """Return the middle of an image file as a batch of one, (1, *shape), RGB 0..255, cut out as by MXNet's reader."""
    pixels = _decoded(payload)[..., ::-1]
    _, height, width = shape
    top, left = ((have - want) // 2 for have, want in zip(pixels.shape, (height, width), strict=False))
    middle = pixels[top : top + height, left : left + width]
    return np.ascontiguousarray(middle.transpose(2, 0, 1)[None], np.float32)


def _decoded(payload: bytes) -> Images:
    """Decode (height, width, 3) BGR; a record that MXNet has read can be decoded."""
    return np.asarray(cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR))
