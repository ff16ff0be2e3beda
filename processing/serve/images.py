"""Encoded images to the model's input: the packer's own reading, then the centre that its records are cut to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from preprocess.decode import read_image
from preprocess.errors import UnreadableImage
from preprocess.scaling import scaled_size
from serve.errors import TOO_LARGE, RefusedRequest
from serve.facts import Facts
from serve.image_size import size_of
from serve.limits import LARGE_PIXELS, MAX_PIXELS

Tensor = npt.NDArray[np.float32]

# How the packer's reasons begin or what they hold, and the code that programs see.
NO_IMAGE = ("neither JPEG", "no image in it")
CUT_OFF = ("truncated", "premature end", "no whole image header")
TOO_MANY = ("more than the limit", "too long for its width", "although a WebP", "more than a BMP", "scans of")
RIFF_HEADER = 8


def read_tensor(data: bytes, facts: Facts) -> Tensor:
    """Return (3, H, W) float32, raw 0..255 RGB, as training read a record of this image.

    That is `preprocess.decode.read_image` with the data set's short side, then the centre crop of MXNet's
    ImageRecordIter, which rounds odd margins down. RefusedRequest names what is wrong with the image; one of too many
    pixels is refused by its header.
    """
    if not data:
        raise RefusedRequest("empty", "the image is empty: send the bytes of an image file")
    try:
        _check_size(*size_of(data))
        pixels = read_image(data, short_side=facts.resize, crop=facts.crop, convert_icc=facts.convert_icc)
    except UnreadableImage as error:
        raise _refusal(data, str(error)) from None
    _, rows, columns = facts.image_shape
    top, left = (pixels.shape[0] - rows) // 2, (pixels.shape[1] - columns) // 2
    centre = pixels[top : top + rows, left : left + columns]
    return np.ascontiguousarray(centre.transpose(2, 0, 1), dtype=np.float32)


def pixels_to_decode(data: bytes, facts: Facts) -> int:
    """Return how many pixels the image has by its header, or will have where scaling makes it large.

    0 for what `read_tensor` refuses by the header alone.
    """
    try:
        height, width = size_of(data)
        _check_size(height, width)
    except (UnreadableImage, RefusedRequest):
        return 0
    scaled_height, scaled_width = scaled_size(height, width, facts.resize)
    scaled = scaled_height * scaled_width
    return max(height * width, scaled if scaled > LARGE_PIXELS else 0)


def load_formats() -> None:
    """Import what readers import late, so that no request waits for it."""
    import cv2

    import preprocess.color_profile
    import preprocess.pillow_formats  # noqa: F401

    Image.preinit()
    Image.init()
    # Requests are what runs in parallel here.
    cv2.setNumThreads(1)


def _check_size(height: int, width: int) -> None:
    if min(height, width) < 1:
        raise RefusedRequest("damaged_image", f"the image says that it has {width}x{height} pixels")
    if height * width > MAX_PIXELS:
        raise RefusedRequest(
            "too_many_pixels",
            f"{width}x{height} pixels are more than the limit of {MAX_PIXELS}: scale the image down first",
            status=TOO_LARGE,
        )


def _refusal(data: bytes, reason: str) -> RefusedRequest:
    if any(part in reason for part in NO_IMAGE):
        return RefusedRequest("not_an_image", f"the body is no image: {reason}")
    if any(part in reason for part in TOO_MANY):
        return RefusedRequest("too_many_pixels", f"{reason}: scale the image down first", status=TOO_LARGE)
    if any(part in reason.lower() for part in CUT_OFF) or _short_riff(data):
        return RefusedRequest("truncated", f"the image is not whole: {reason}; send all of the file's bytes")
    return RefusedRequest("damaged_image", f"the image cannot be read: {reason}")


def _short_riff(data: bytes) -> bool:
    """Whether a WebP says that it is longer than it is; its decoder does not tell."""
    return data.startswith(b"RIFF") and RIFF_HEADER + int.from_bytes(data[4:8], "little") > len(data)
