"""One image file to the payload of a record, and what else the packer has to know about it."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from common.recordio import LENGTH_MASK
from preprocess.errors import UnreadableImage
from preprocess.pass_through import key_if_fits
from preprocess.settings import Settings

# Above any photograph; a record of one part has to stay below 512 MiB.
MAX_FILE_BYTES = 256 * 1024**2
assert MAX_FILE_BYTES < LENGTH_MASK
KEY_BYTES = 16


class Converted(NamedTuple):
    """A file's payload, or the reason why there is none.

    ``size`` of the file in bytes, ``digest`` its SHA-256, ``key`` equal where the stored pixels are equal, ``look`` a
    64-bit difference hash (-1 where nothing was decoded).
    """

    size: int
    reason: str = ""
    payload: bytes = b""
    digest: bytes = b""
    key: bytes = b""
    look: int = -1


def convert(path: str, settings: Settings) -> Converted:
    """Read the file at ``path`` and make of it what a record holds; a file that cannot be used has a reason."""
    try:
        data = _read(path)
    except OSError as error:
        return Converted(size=size_of(path), reason=f"cannot be read: {error.strerror or error}")
    if len(data) > MAX_FILE_BYTES:
        return Converted(size=size_of(path), reason=f"larger than the limit of {MAX_FILE_BYTES} bytes")
    digest = hashlib.sha256(data).digest()
    if settings.pass_through:
        key = key_if_fits(data, short_side=settings.resize, crop=settings.crop, convert_icc=settings.convert_icc)
        if key is not None:
            return Converted(size=len(data), payload=data, digest=digest, key=key)
    try:
        payload, look = _encode_anew(data, settings)
    except UnreadableImage as error:
        return Converted(size=len(data), reason=str(error))
    # Equal pixels are encoded to equal bytes, so the payload's hash stands for them.
    key = hashlib.sha256(payload).digest()[:KEY_BYTES]
    return Converted(size=len(data), payload=payload, digest=digest, key=key, look=look)


def size_of(path: str) -> int:
    """Return the size of a file in bytes, 0 where it has gone."""
    try:
        return os.stat(path).st_size  # noqa: PTH116  # several times as fast, and there may be very many
    except OSError:
        return 0


def _read(path: str) -> bytes:
    # pathlib and buffered files cost more than reading does. Without waiting: a pipe may have taken the file's place.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, min(size, MAX_FILE_BYTES) + 1)
        while len(data) < min(size, MAX_FILE_BYTES + 1):
            more = os.read(descriptor, MAX_FILE_BYTES + 1 - len(data))
            if not more:
                break
            data += more
        return data
    finally:
        os.close(descriptor)


def load_codecs() -> None:
    """Import the image libraries, without threads of their own: every core has a worker already.

    Late: files that are kept as they are need none of them, and importing takes longer than copying a thousand files.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import cv2

    import preprocess.decode
    import preprocess.encode
    import preprocess.fingerprint  # noqa: F401

    cv2.setNumThreads(1)


def _encode_anew(data: bytes, settings: Settings) -> tuple[bytes, int]:
    load_codecs()
    from preprocess.decode import read_image
    from preprocess.encode import encode_image
    from preprocess.fingerprint import difference_hash

    pixels = read_image(data, short_side=settings.resize, crop=settings.crop, convert_icc=settings.convert_icc)
    payload = encode_image(pixels, record_format=settings.record_format, quality=settings.quality)
    return payload, difference_hash(pixels)
