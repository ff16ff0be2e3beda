"""JPEG files to pixels: decoded no larger than needed, and refused where image data is missing or wrong."""

from __future__ import annotations

import re
import threading

import cv2
import numpy as np
import simplejpeg

from preprocess import jpeg_header
from preprocess.jpeg_header import JpegHeader
from preprocess.scaling import Pixels, check_size
from preprocess.stored_image import StoredImage, damaged

KIND = "JPEG"
MAX_HALVINGS = 3
# Halving in the decoder costs sharpness, so it has to leave something to the filter. Just above 1.14 (512 to 224),
# records of photos come out 2.5 dB closer to a Lanczos of the whole image than by a full decode and OpenCV's default
# filter, those of small sharp images no further away; without a margin they do.
HALVING_MARGIN = 1.14
# From this ratio of scaling down on, colour of half resolution is repeated and not interpolated: that saves a tenth of
# decoding and costs 0.07 dB of 40.0 (500x375 to short side 256, records of 4:2:2).
PLAIN_UPSAMPLING_FROM = 1.3
# Repeated scans cost time without a byte of memory; encoders write about 10, and libjpeg-turbo's tools stop at 500.
MAX_SCANS = 100
MAX_SCANNED_PIXELS = 2_000_000_000
CMYK_COMPONENTS = 4
# A buffer that is kept saves the kernel's zeroing of fresh pages: 1085 against 1220 us for a 512x450 image.
MAX_KEPT_BYTES = 64 * 1024**2
# Of several warnings the decoder tells the first. This one can be no other's cover: nothing is read after the end.
HARMLESS_END = re.compile(r"Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9")
# What a header can be repaired of; decoding again then tells whether something worse hid behind it.
HEADER_WARNINGS = (
    "Warning: unknown JFIF revision number",
    "Unknown Adobe color transform code",
    "Invalid SOS parameters for sequential JPEG",
    "Corrupt JPEG data: bad ICC marker",
)
EXTRANEOUS = re.compile(r"Corrupt JPEG data: \d+ extraneous bytes before marker 0x..")
UNUSUAL_SAMPLING = "Could not determine subsampling level"

_kept = threading.local()


def read_jpeg(data: bytes, *, short_side: int, square: bool, convert_icc: bool) -> StoredImage:
    """Decode a JPEG, to 1/2, 1/4 or 1/8 where that leaves enough for ``short_side`` (0: whole); RGB (H, W, 3).

    UnreadableImage where it is damaged or too large. Oddities that cost no pixel are accepted: bytes between the last
    scan and the end marker or between header segments, unknown JFIF versions and Adobe transforms, a broken profile.
    """
    header = jpeg_header.read_header(data)
    if header is None:
        raise damaged(KIND, "no whole image header in it")
    check_size(header.height, header.width, short_side=short_side, square=square)
    _check_scans(data, header)
    short = min(header.height, header.width)
    step = 1 << _halvings(short, short_side)
    ratio = short / step / short_side if short_side else 1
    profile = header.icc if convert_icc else b""
    try:
        pixels = _decode(data, header, step=step, ratio=ratio)
    except ValueError as error:
        if UNUSUAL_SAMPLING not in str(error):
            raise damaged(KIND, error) from None
        from preprocess.pillow_formats import read_with_pillow  # importing Pillow takes longer than decoding

        return read_with_pillow(data, KIND, short_side=short_side, square=square, convert_icc=convert_icc)
    except (KeyError, RuntimeError, OverflowError) as error:
        raise damaged(KIND, error) from None
    if len(header.component_ids) == CMYK_COMPONENTS:
        pixels, profile = _cmyk_to_rgb(pixels, profile), b""
    return StoredImage(
        pixels=pixels, height=header.height, width=header.width, orientation=header.orientation, profile=profile
    )


def _check_scans(data: bytes, header: JpegHeader) -> None:
    if header.frame != jpeg_header.PROGRESSIVE and len(header.scan_ids) == len(header.component_ids):
        return  # a single scan; counting would take a tenth of the time of decoding
    scans = data.count(bytes((jpeg_header.FILL, jpeg_header.SCAN)), header.data)
    if scans > MAX_SCANS or scans * header.height * header.width > MAX_SCANNED_PIXELS:
        raise damaged(KIND, f"{scans} scans of {header.width}x{header.height} pixels are more than images need")


def _halvings(short: int, short_side: int) -> int:
    """Return how often the decoder may halve the image and still leave a margin above the wanted short side."""
    halvings = 0
    while short_side and halvings < MAX_HALVINGS and short / (2 << halvings) >= HALVING_MARGIN * short_side:
        halvings += 1
    return halvings


def _decode(data: bytes, header: JpegHeader, *, step: int, ratio: float) -> Pixels:
    """Return RGB, or Adobe's inverted CMYK for four components; ValueError with the decoder's text for damage.

    ``ratio`` is how many times as large as wanted the pixels are, of a file decoded to 1/``step``.
    """
    try:
        return _decode_strictly(data, header, step, ratio=ratio)
    except ValueError as error:
        text = str(error)
        odd = text.startswith(HEADER_WARNINGS) or EXTRANEOUS.fullmatch(text)
        if not odd:
            raise
    if HARMLESS_END.fullmatch(text):
        return _decode_once(data, header, step, ratio=ratio, strict=False)
    return _decode_strictly(jpeg_header.repaired(data, header), header, step, ratio=ratio)


def _decode_strictly(data: bytes, header: JpegHeader, step: int, *, ratio: float) -> Pixels:
    try:
        return _decode_once(data, header, step, ratio=ratio, strict=True)
    except ValueError as error:
        if not HARMLESS_END.fullmatch(str(error)):
            raise
    return _decode_once(data, header, step, ratio=ratio, strict=False)


def _decode_once(data: bytes, header: JpegHeader, step: int, *, ratio: float, strict: bool) -> Pixels:
    # Asking for the exact size of 1/step makes the decoder choose it; other ratios are slower than none.
    height, width = -(-header.height // step), -(-header.width // step)
    pixels: Pixels
    if len(header.component_ids) == CMYK_COMPONENTS:
        pixels = simplejpeg.decode_jpeg(data, "CMYK", min_height=height, min_width=width, strict=strict)
        return pixels
    # Pixels that are not resized are handed out, so they must not be in a buffer that the next image overwrites.
    buffer = _buffer(3 * height * width) if ratio != 1 else None
    pixels = simplejpeg.decode_jpeg(
        data,
        "RGB",
        min_height=height,
        min_width=width,
        buffer=buffer,
        strict=strict,
        fastupsample=ratio >= PLAIN_UPSAMPLING_FROM,
    )
    return pixels


def _buffer(size: int) -> Pixels | None:
    """Return this thread's buffer of at least ``size`` bytes; None where it would be too large to keep."""
    if size > MAX_KEPT_BYTES:
        return None
    buffer: Pixels | None = getattr(_kept, "buffer", None)
    if buffer is None or buffer.size < size:
        buffer = _kept.buffer = np.empty(size, np.uint8)
    return buffer


def _cmyk_to_rgb(inverted: Pixels, profile: bytes) -> Pixels:
    """Return RGB of CMYK as JPEG files hold it, inverted as Adobe's: 255 is no ink."""
    if profile:
        from PIL import Image  # importing Pillow takes longer than decoding

        from preprocess.color_profile import image_to_srgb

        height, width = inverted.shape[:2]
        converted = image_to_srgb(Image.frombytes("CMYK", (width, height), (255 - inverted).tobytes()), profile)
        if converted is not None:
            return np.asarray(converted)
    *inks, black = cv2.split(inverted)
    return cv2.merge([cv2.multiply(ink, black, scale=1 / 255) for ink in inks]).astype(np.uint8, copy=False)
