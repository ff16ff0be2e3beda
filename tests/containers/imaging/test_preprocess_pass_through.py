"""Pass-through: what is taken as it is reads the same in MXNet; what is not whole, upright and plain is refused."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import Pixels, difference, encoded, noisy, with_orientation
from PIL import Image, PngImagePlugin

from common.recordio import Header, RecordWriter
from preprocess.decode import read_image
from preprocess.pass_through import fits, pixel_key

SIDE = 24
PICTURE = noisy(SIDE, SIDE)
IMAGE = Image.fromarray(PICTURE)
JPEG = encoded(PICTURE, "JPEG", quality=95)
PNG = encoded(PICTURE)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """Return the PNG with a chunk more behind its header."""
    return png[:33] + chunk(kind, content) + png[33:]


def with_segment(jpeg: bytes, code: int, content: bytes) -> bytes:
    """Return the JPEG with a segment more at its start."""
    return jpeg[:2] + bytes((0xFF, code)) + struct.pack(">H", len(content) + 2) + content + jpeg[2:]


def without_jfif(jpeg: bytes, ids: bytes = b"\1\2\3") -> bytes:
    """Return the JPEG without its JFIF segment, its components named ``ids``."""
    data = bytearray(jpeg[:2] + jpeg[20:])
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    data[frame + 10 : frame + 19 : 3] = ids
    data[scan + 5 : scan + 11 : 2] = ids
    return bytes(data)


def interlaced() -> bytes:
    """Return an interlaced PNG of one colour: seven passes of rows without a filter."""
    starts = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    rows = b"".join((b"\0" + PICTURE[y, x::dx].tobytes()) for x, y0, dx, dy in starts for y in range(y0, SIDE, dy))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 1)
    return PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


FITTING = {
    "jpeg": JPEG,
    "progressive": encoded(PICTURE, "JPEG", quality=95, progressive=True),
    "4:4:4": encoded(PICTURE, "JPEG", quality=95, subsampling=0),
    "4:2:2": encoded(PICTURE, "JPEG", quality=95, subsampling=1),
    "restarts": encoded(PICTURE, "JPEG", quality=95, restart_marker_blocks=1),
    "gray jpeg": encoded(IMAGE.convert("L"), "JPEG", quality=95),
    "no JFIF": without_jfif(JPEG),
    "components from 0": without_jfif(JPEG, b"\0\1\2"),
    "Adobe's YCbCr": with_segment(without_jfif(JPEG, b"abc"), 0xEE, b"Adobe\0\x64\0\0\0\0\1"),
    "upright exif": encoded(PICTURE, "JPEG", quality=95, exif=with_orientation(1)),
    "profile": encoded(PICTURE, "JPEG", quality=95, icc_profile=bytes(2000)),
    "comment": encoded(PICTURE, "JPEG", quality=95, comment=b"a comment"),
    "old JFIF": JPEG.replace(b"JFIF\0\1\1", b"JFIF\0\0\1"),
    "OpenCV's jpeg": cv2.imencode(".jpg", PICTURE)[1].tobytes(),
    "png": PNG,
    "interlaced": interlaced(),
    "palette": encoded(IMAGE.convert("P")),
    "palette of 4": encoded(IMAGE.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)),
    "gray png": encoded(IMAGE.convert("L")),
    "1-bit png": encoded(IMAGE.convert("1")),
    "gamma": with_chunk(PNG, b"gAMA", struct.pack(">I", 20_000)),
    "text": with_chunk(PNG, b"tEXt", b"Comment\0hello"),
    "upright png": encoded(PICTURE, exif=with_orientation(1)),
}


@pytest.mark.parametrize("name", FITTING)
def test_taken_as_it_is(name: str) -> None:
    for short_side in (0, SIDE):
        for crop in ("none", "square"):
            assert fits(FITTING[name], short_side=short_side, crop=crop)
    assert not fits(FITTING[name], short_side=SIDE + 1)


def test_mxnet_reads_the_pixels_of_read_image(
    tmp_path: Path, read_with_mxnet: Callable[..., tuple[Pixels, list[int]]]
) -> None:
    with (tmp_path / "all.rec").open("wb") as file:
        writer = RecordWriter(file)
        for number, data in enumerate(FITTING.values()):
            writer.write(Header((float(number),), number), data)
    found, labels = read_with_mxnet(tmp_path / "all.rec", side=SIDE)
    assert labels == list(range(len(FITTING)))
    expected = [read_image(data, short_side=SIDE) for data in FITTING.values()]
    differences = {
        name: difference(*pair) for name, pair in zip(FITTING, zip(found, expected, strict=True), strict=True)
    }
    assert {name: value for name, value in differences.items() if value > 0.6} == {}
    # The tolerance is small enough to see another picture, or other channels.
    assert difference(found[0], expected[0][:, :, ::-1]) > 50


def animated_png() -> bytes:
    return encoded(PICTURE, save_all=True, append_images=[Image.fromarray(255 - PICTURE)])


def with_flipped_byte(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 0x10,)) + data[place + 1 :]


REFUSED = {
    "nothing": b"",
    "text": b"no image",
    "other formats": encoded(PICTURE, "BMP"),
    "gif": encoded(PICTURE, "GIF"),
    "no end marker": JPEG[:-2],
    "cut jpeg": JPEG[:-20],
    "only an end": JPEG[:2] + JPEG[-2:],
    "a byte behind the end": JPEG + b"x",
    "bytes between segments": JPEG[:20] + b"garbage" + JPEG[20:],
    "CMYK": encoded(IMAGE.convert("CMYK"), "JPEG"),
    "RGB jpeg": encoded(PICTURE, "JPEG", keep_rgb=True),
    "RGB by name": without_jfif(JPEG, b"RGB"),
    "unknown components": without_jfif(JPEG, b"xyz"),
    "unknown transform": with_segment(without_jfif(JPEG), 0xEE, b"Adobe\0\x64\0\0\0\0\7"),
    "12 bits": JPEG.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
    "arithmetic": JPEG.replace(b"\xff\xc0\0\x11", b"\xff\xc9\0\x11"),
    "lossless": JPEG.replace(b"\xff\xc0\0\x11", b"\xff\xc3\0\x11"),
    "no sampling factor": JPEG.replace(b"\x03\x01\x22", b"\x03\x01\x02"),
    "a scan of nothing": JPEG.replace(b"\xff\xda\0\x0c\x03\x01", b"\xff\xda\0\x0c\x03\x09"),
    "turned jpeg": encoded(PICTURE, "JPEG", exif=with_orientation(6)),
    "two exif blocks": with_segment(encoded(PICTURE, "JPEG", exif=with_orientation(1)), 0xE1, b"Exif\0\0"),
    "no end of png": PNG[:-12],
    "cut png": PNG[:-40] + PNG[-12:],
    "a byte behind png's end": PNG + b"x",
    "wrong checksum": with_flipped_byte(PNG, 60),
    "wrong header checksum": with_flipped_byte(PNG, 30),
    "RGBA": encoded(IMAGE.convert("RGBA")),
    "LA": encoded(IMAGE.convert("LA")),
    "transparent palette": encoded(IMAGE.convert("P"), transparency=0),
    "transparent colour": encoded(IMAGE, transparency=(1, 2, 3)),
    "16 bits": cv2.imencode(".png", PICTURE.astype(np.uint16))[1].tobytes(),
    "animated": animated_png(),
    "turned png": encoded(PICTURE, exif=with_orientation(3)),
    "no palette": PNG[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 3, 0, 0, 0)) + PNG[33:],
    "no data": PNG[:33] + PNG[-12:],
    "no pixels": PNG[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 0, SIDE, 8, 2, 0, 0, 0)) + PNG[33:],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    assert REFUSED[name] not in FITTING.values()
    assert not fits(REFUSED[name], short_side=0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_size_and_crop(kind: str) -> None:
    wide = encoded(noisy(40, SIDE), kind)
    assert fits(wide, short_side=SIDE)
    assert not fits(wide, short_side=40)
    assert not fits(wide, short_side=SIDE, crop="square")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_profile_that_is_to_be_converted_is_no_fit(kind: str) -> None:
    data = encoded(PICTURE, kind, icc_profile=bytes(500))
    # A PNG's profile is compressed, and decoders differ in what they make of a bad one.
    assert fits(data, short_side=0) == (kind == "JPEG")
    assert not fits(data, short_side=0, convert_icc=True)


@pytest.mark.parametrize("data", [JPEG, FITTING["progressive"], PNG])
def test_cut_or_changed_anywhere_it_raises_nothing(data: bytes) -> None:
    for length in range(len(data)):
        assert not fits(data[:length], short_side=0)
        pixel_key(data[:length])
    for place in range(min(len(data), 700)):
        fits(with_flipped_byte(data, place), short_side=0)
        pixel_key(with_flipped_byte(data, place))


def test_the_key_is_that_of_the_pixels() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "hello")
    same_jpegs = [
        JPEG,
        encoded(PICTURE, "JPEG", quality=95, comment=b"hello"),
        encoded(PICTURE, "JPEG", quality=95, exif=with_orientation(1)),
        with_segment(JPEG, 0xED, b"Photoshop"),
    ]
    same_pngs = [PNG, encoded(PICTURE, pnginfo=text), with_chunk(PNG, b"tIME", bytes(7))]
    assert len({pixel_key(data) for data in same_jpegs}) == 1
    assert len({pixel_key(data) for data in same_pngs}) == 1
    others = [
        JPEG,
        PNG,
        FITTING["gray png"],
        encoded(PICTURE, "JPEG", quality=94),
        encoded(noisy(SIDE, SIDE, seed=1), "JPEG"),
    ]
    others += [JPEG[:-3] + b"\0" + JPEG[-2:], b"", b"text", encoded(PICTURE, "BMP"), encoded(noisy(SIDE, SIDE, seed=1))]
    keys = [pixel_key(data) for data in others]
    assert len(set(keys)) == len(others)
    assert {len(key) for key in keys} == {16}


def test_importing_it_imports_no_image_library() -> None:
    program = "import sys, preprocess.pass_through; print({'numpy', 'cv2', 'PIL', 'simplejpeg'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_fitting_file_opens_in_pillow() -> None:
    for data in FITTING.values():
        with Image.open(io.BytesIO(data)) as image:
            image.load()
