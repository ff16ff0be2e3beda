"""ICC colour profiles to sRGB."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from preprocess.scaling import Pixels

# The profile's colour space, and the Pillow mode of the pixels that it describes.
MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
CACHED_PROFILES = 8


def to_srgb(pixels: Pixels, profile: bytes) -> Pixels:
    """Return RGB (H, W, 3) in sRGB; a broken profile, or one for other kinds of pixels, changes nothing.

    A profile for grey reads the first channel; the three are equal where it belongs to the image.
    """
    image = Image.fromarray(pixels)
    if _color_mode(profile) == "L":
        image = image.getchannel(0)
    converted = image_to_srgb(image, profile)
    return pixels if converted is None else np.asarray(converted)


def image_to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """Return the image as RGB in sRGB; None where the profile is broken or describes pixels of another mode."""
    transform = _transform(profile)
    if transform is None or _color_mode(profile) != image.mode:
        return None
    try:
        return ImageCms.applyTransform(image, transform)
    except Exception:  # whatever the library makes of a broken profile, the image is good without it
        return None


@functools.lru_cache(maxsize=CACHED_PROFILES)
def _color_mode(profile: bytes) -> str | None:
    try:
        return MODES.get(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip())
    except Exception:  # as above
        return None


@functools.lru_cache(maxsize=CACHED_PROFILES)
def _transform(profile: bytes) -> Any | None:
    mode = _color_mode(profile)
    if mode is None:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # as above
        return None
