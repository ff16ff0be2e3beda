"""The segments in front of a JPEG's image data."""

import io

import numpy as np
import pytest
from pictures import encoded, gradient, with_orientation
from PIL import Image

from preprocess import jpeg_header

PICTURE = gradient(40, 24)
PLAIN = encoded(PICTURE, "JPEG")


def header(data: bytes) -> jpeg_header.JpegHeader:
    found = jpeg_header.read_header(data)
    assert found is not None
    return found


def test_a_plain_file() -> None:
    plain = header(PLAIN)
    assert (plain.frame, plain.bits, plain.height, plain.width, plain.component_ids) == (0xC0, 8, 24, 40, b"\1\2\3")
    assert (plain.jfif, plain.adobe, plain.orientation, plain.icc, plain.clean) == (True, None, 1, b"", True)
    assert PLAIN[plain.data : plain.data + 2] == b"\xff\xda"
    assert (plain.sampling, plain.scan_ids) == (b"\x22\x11\x11", b"\1\2\3")


def test_other_kinds() -> None:
    assert header(encoded(PICTURE, "JPEG", progressive=True)).frame == jpeg_header.PROGRESSIVE
    assert header(encoded(Image.fromarray(PICTURE).convert("L"), "JPEG")).component_ids == b"\1"
    cmyk = header(encoded(Image.fromarray(PICTURE).convert("CMYK"), "JPEG"))
    assert (len(cmyk.component_ids), cmyk.adobe) == (4, 0)
    assert header(encoded(PICTURE, "JPEG", keep_rgb=True)).adobe == 0


def test_metadata() -> None:
    profile = bytes(range(256)) * 600  # longer than a segment
    data = encoded(PICTURE, "JPEG", exif=with_orientation(8), icc_profile=profile)
    assert (header(data).orientation, header(data).exif_blocks, header(data).icc) == (8, 1, profile)


def test_a_profile_with_a_missing_part_counts_as_none() -> None:
    data = encoded(PICTURE, "JPEG", icc_profile=bytes(100_000))
    start = data.index(b"ICC_PROFILE\0") - 4
    length = int.from_bytes(data[start + 2 : start + 4], "big") + 2
    assert header(data[:start] + data[start + length :]).icc == b""


def test_fill_bytes_and_garbage_between_segments_are_skipped() -> None:
    place = PLAIN.index(b"\xff\xdb")
    filled = PLAIN[:place] + b"\xff\xff" + PLAIN[place:]
    assert not header(filled).clean
    assert header(filled)._replace(clean=True, data=0) == header(PLAIN)._replace(data=0)
    assert not header(PLAIN[:place] + b"garbage" + PLAIN[place:]).clean


def test_every_cut_of_the_header_is_none() -> None:
    for length in range(header(PLAIN).data + 2):
        assert jpeg_header.read_header(PLAIN[:length]) is None


def test_two_frames_are_none() -> None:
    start = PLAIN.index(b"\xff\xc0")
    assert jpeg_header.read_header(PLAIN[:start] + PLAIN[start : start + 19] + PLAIN[start:]) is None


def test_repairing_leaves_the_picture_alone() -> None:
    data = encoded(PICTURE, "JPEG", exif=with_orientation(8), icc_profile=bytes(1000), comment=b"hello")
    repaired = jpeg_header.repaired(data, header(data))
    assert len(repaired) < len(data) - 1000
    with Image.open(io.BytesIO(repaired)) as image, Image.open(io.BytesIO(data)) as original:
        assert np.array_equal(np.asarray(image), np.asarray(original))


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "L"])
def test_repairing_keeps_the_colours_of_adobes_files(mode: str) -> None:
    options = {"keep_rgb": True} if mode == "RGB" else {}
    data = encoded(Image.fromarray(PICTURE).convert(mode), "JPEG", **options)
    with (
        Image.open(io.BytesIO(jpeg_header.repaired(data, header(data)))) as image,
        Image.open(io.BytesIO(data)) as original,
    ):
        assert np.array_equal(np.asarray(image), np.asarray(original))
