"""What a decoder hands over, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass

from preprocess.errors import UnreadableImage
from preprocess.scaling import Pixels


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """RGB pixels (H, W, 3) as stored, perhaps scaled down already; the file's own height and width; EXIF's 1..8.

    ``profile`` is an ICC profile that is still to be applied, or empty.
    """

    pixels: Pixels
    height: int
    width: int
    orientation: int
    profile: bytes = b""


def damaged(kind: str, error: Exception | str) -> UnreadableImage:
    """Return the rejection for what a library says about a file."""
    text = " ".join(str(error).split()) or type(error).__name__
    return UnreadableImage(f"damaged {kind}: {text}")
