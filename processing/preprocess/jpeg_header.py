"""The segments in front of a JPEG's image data, without an image library.

A file is a sequence of markers (255 and a code), most followed by a length (2 bytes, itself included) and that many
bytes; the frame header says how large the image is, the scan header starts the image data.
Source: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B; Adobe's segment: Adobe Technical Note 5116, 18.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeAlias

from preprocess import exif

START = b"\xff\xd8"
END = b"\xff\xd9"
SCAN = 0xDA
JFIF_SEGMENT, EXIF_SEGMENT, ICC_SEGMENT, ADOBE_SEGMENT, COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
APPLICATION_SEGMENTS = range(0xE0, 0xF0)
# Start-of-frame codes; 0xC4, 0xC8 and 0xCC between them mean something else.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = 0xC2
# Codes without a length: restarts, start, end, and TEM.
BARE = frozenset(range(0xD0, 0xDA)) | {0x01}
FILL = 0xFF
JFIF_PREFIX, ICC_PREFIX, ADOBE_PREFIX = b"JFIF\0", b"ICC_PROFILE\0", b"Adobe"
FRAME_SIZE = 6
ADOBE_SIZE = 12
YCCK = 2
SEQUENTIAL = frozenset({0xC0, 0xC1})
# Segments as they should be: JFIF 1.01 without density and thumbnail; Adobe's up to its colour transform.
PLAIN_JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
PLAIN_ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
# A sequential scan's parameters: coefficients 0 to 63, no successive approximation (ITU T.81, B.2.3).
WHOLE_SPECTRUM = b"\0\x3f\0"


# (code, where the marker starts, where the content starts, where it ends): plain, since this runs for every file.
Segment: TypeAlias = tuple[int, int, int, int]


class JpegHeader(NamedTuple):
    """What the segments up to the image data say.

    ``frame`` is the start-of-frame code and ``bits`` the bits of a sample. ``sampling`` has a byte per component with
    its horizontal and vertical factor (4 bits each), ``scan_ids`` the components in the first scan. ``adobe`` is the
    colour transform of Adobe's segment (0 none, 1 YCbCr, 2 YCCK), None without the segment. ``clean``: the segments
    follow each other without bytes between them. ``data`` is where the first scan header starts.
    """

    frame: int
    bits: int
    height: int
    width: int
    component_ids: bytes
    sampling: bytes
    scan_ids: bytes
    adobe: int | None
    jfif: bool
    orientation: int
    exif_blocks: int
    icc: bytes
    clean: bool
    data: int


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments up to and with the first scan header; stops early where the file is damaged.

    Bytes between segments are skipped, as decoders do.
    """
    position = len(START)
    while (marker := data.find(b"\xff", position)) >= 0 and marker + 4 <= len(data):
        code = data[marker + 1]
        if code == FILL:
            position = marker + 1
        elif code == 0 or code in BARE:
            position = marker + 2
        else:
            position = marker + 2 + (data[marker + 2] << 8 | data[marker + 3])
            if position < marker + 4 or position > len(data):
                return
            yield code, marker, marker + 4, position
            if code == SCAN:
                return


def read_header(data: bytes, found: Iterable[Segment] | None = None) -> JpegHeader | None:
    """Return what a JPEG says about itself; None where it has no whole frame and scan header.

    ``found`` are its segments, where they are known already.
    """
    if not data.startswith(START):
        return None
    frame = bits = height = width = exif_blocks = 0
    ids, sampling, icc = b"", b"", []
    adobe, jfif, orientation, clean, expected = None, False, exif.UPRIGHT, True, len(START)
    for code, marker, start, end in segments(data) if found is None else found:
        clean = clean and marker == expected
        expected = end
        if code in FRAMES:
            if frame or end - start < FRAME_SIZE or end - start < FRAME_SIZE + 3 * data[start + 5]:
                return None
            frame, bits = code, data[start]
            height, width = int.from_bytes(data[start + 1 : start + 3], "big"), (data[start + 3] << 8) + data[start + 4]
            components = data[start + FRAME_SIZE : start + FRAME_SIZE + 3 * data[start + 5]]
            ids, sampling = components[::3], components[1::3]
        elif code == EXIF_SEGMENT and data.startswith(exif.PREFIX, start, end):
            exif_blocks += 1
            if exif_blocks == 1:
                orientation = exif.orientation(data[start:end])
        elif code == JFIF_SEGMENT and data.startswith(JFIF_PREFIX, start, end):
            jfif = True
        elif code == ADOBE_SEGMENT and data.startswith(ADOBE_PREFIX, start, end) and end - start >= ADOBE_SIZE:
            adobe = data[start + 11]
        elif code == ICC_SEGMENT and data.startswith(ICC_PREFIX, start, end):
            icc.append(data[start + len(ICC_PREFIX) : end])
        elif code == SCAN and frame:
            return JpegHeader(
                frame=frame,
                bits=bits,
                height=height,
                width=width,
                component_ids=ids,
                sampling=sampling,
                scan_ids=data[start + 1 : min(end, start + 1 + 2 * data[start]) : 2] if start < end else b"",
                adobe=adobe,
                jfif=jfif,
                orientation=orientation,
                exif_blocks=exif_blocks,
                icc=_joined(icc),
                clean=clean,
                data=marker,
            )
    return None


def repaired(data: bytes, header: JpegHeader) -> bytes:
    """Return the JPEG with the oddities of its header put right that a decoder warns about.

    Gone are bytes between segments, comments and metadata; the JFIF version and Adobe's transform get values that
    decoders know, the first scan of a sequential image the parameters that the standard prescribes.
    """
    pieces = [START]
    position = len(START)
    for code, marker, start, position in segments(data):
        if code == JFIF_SEGMENT and data.startswith(JFIF_PREFIX, start, position):
            pieces.append(PLAIN_JFIF)
        elif code == ADOBE_SEGMENT and header.adobe is not None:
            transform = header.adobe if header.adobe <= YCCK else len(header.component_ids) - 2
            pieces.append(PLAIN_ADOBE + bytes((transform,)))
        elif code == SCAN and header.frame in SEQUENTIAL:
            pieces.append(data[marker : position - len(WHOLE_SPECTRUM)] + WHOLE_SPECTRUM)
        elif code not in APPLICATION_SEGMENTS and code != COMMENT:
            pieces.append(data[marker:position])
    return b"".join([*pieces, data[position:]])


def _joined(parts: list[bytes]) -> bytes:
    """Join the numbered parts of an ICC profile (number, count, bytes); empty where one is missing.

    Source: https://www.color.org/specification/ICC.1-2022-05.pdf, B.4.
    """
    parts = sorted(parts)
    if not parts or any(part[:2] != bytes((number, len(parts))) for number, part in enumerate(parts, start=1)):
        return b""
    return b"".join(part[2:] for part in parts)
