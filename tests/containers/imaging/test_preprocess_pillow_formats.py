"""The formats besides JPEG: refused where cut or too large, before memory is taken, whatever the library raises."""

import io
import struct
import zlib

import numpy as np
import pytest
from pictures import encoded, gradient, noisy
from PIL import Image, ImageFile

from preprocess import pillow_formats
from preprocess.decode import read_image
from preprocess.errors import UnreadableImage

SIDE = 24
PICTURE = noisy(50, 40)


def run_length_bmp(width: int = 50, height: int = 40) -> bytes:
    """Return an 8-bit BMP with run-length coding, one run per row."""
    palette = b"".join(bytes((i, i, 255 - i, 0)) for i in range(256))
    body = b"".join(bytes((width, 5 * y % 256)) + b"\0\0" for y in range(height)) + b"\0\1"
    start = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + info + palette + body


IMAGE = Image.fromarray(PICTURE)
FILES = {
    "PNG": encoded(PICTURE),
    "palette PNG": encoded(IMAGE.convert("P")),
    "GIF": encoded(PICTURE, "GIF"),
    "WebP": encoded(PICTURE, "WEBP"),
    "lossless WebP": encoded(PICTURE, "WEBP", lossless=True),
    "BMP": encoded(PICTURE, "BMP"),
    "1-bit BMP": encoded(IMAGE.convert("1"), "BMP"),
    "run-length BMP": run_length_bmp(),
    "TIFF": encoded(PICTURE, "TIFF"),
    "LZW TIFF": encoded(PICTURE, "TIFF", compression="tiff_lzw"),
    "deflate TIFF": encoded(PICTURE, "TIFF", compression="tiff_adobe_deflate"),
    "JPEG TIFF": encoded(PICTURE, "TIFF", compression="jpeg"),
    "fax TIFF": encoded(IMAGE.convert("1"), "TIFF", compression="group4"),
}


@pytest.mark.parametrize("name", FILES)
def test_cut_anywhere_it_is_refused_unless_no_pixel_is_missing(name: str) -> None:
    data = FILES[name]
    whole = read_image(data, short_side=0)
    refused = 0
    for length in range(0, len(data), max(1, len(data) // 50)):
        try:
            pixels = read_image(data[:length], short_side=0)
        except UnreadableImage:
            refused += 1
        else:
            assert np.array_equal(pixels, whole)
    assert refused > 40


def png_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(gradient(8, 8)))
    header = b"IHDR" + struct.pack(">II", width, height) + bytes(data[24:29])
    data[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    return bytes(data)


def gif_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(gradient(8, 8), "GIF"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def bmp_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(gradient(8, 8), "BMP"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def tiff_of_size(width: int, height: int) -> bytes:
    data = bytearray(encoded(gradient(8, 8), "TIFF"))
    for tag, value in ((256, width), (257, height)):
        place = data.index(struct.pack("<HHI", tag, 4, 1))
        data[place + 8 : place + 12] = struct.pack("<I", value)
    return bytes(data)


def webp_of_size(width: int, height: int) -> bytes:
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    image = encoded(gradient(8, 8), "WEBP")[12:]
    chunks = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas + image
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


OF_SIZE = [png_of_size, gif_of_size, bmp_of_size, tiff_of_size, webp_of_size]


@pytest.mark.parametrize("of_size", OF_SIZE)
@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_header(of_size, width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    with pytest.raises(UnreadableImage, match=r"limit|at most 16383 a side"):
        read_image(of_size(width, height), short_side=SIDE)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (encoded(PICTURE, "WEBP"), (50, 40)),
        (encoded(PICTURE, "WEBP", lossless=True), (50, 40)),
        (webp_of_size(70, 30), (70, 30)),
    ],
)
def test_the_size_of_a_webp_is_known_before_its_decoder_runs(data: bytes, size: tuple[int, int]) -> None:
    assert pillow_formats.webp_size(data) == size


@pytest.mark.parametrize("of_size", [png_of_size, bmp_of_size, tiff_of_size])
def test_no_pixels(of_size) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnreadableImage):
        read_image(of_size(0, 0), short_side=SIDE)


@pytest.mark.parametrize("kind", ["I", "F"])
def test_samples_without_a_range_are_refused(kind: str) -> None:
    image = Image.fromarray(np.full((SIDE, SIDE), 70_000, np.int32 if kind == "I" else np.float32))
    assert image.mode == kind
    with pytest.raises(UnreadableImage, match="32-bit samples"):
        read_image(encoded(image, "TIFF"), short_side=SIDE)


def test_sixteen_bits_where_white_is_zero() -> None:
    data = bytearray(encoded(Image.fromarray(np.full((SIDE, SIDE), 0x4080, np.uint16)), "TIFF"))
    place = data.index(struct.pack("<HHI", 262, 3, 1))
    assert data[place + 8] == 1
    data[place + 8] = 0
    assert (read_image(bytes(data), short_side=SIDE) == 255 - 0x40).all()


@pytest.mark.parametrize(
    "error", [MemoryError, OverflowError, RecursionError, struct.error, zlib.error, TypeError, KeyError]
)
@pytest.mark.parametrize("place", ["open", "load"])
def test_whatever_the_library_raises_becomes_a_reason(
    error: type[Exception], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("of the\nlibrary")

    monkeypatch.setattr(Image if place == "open" else ImageFile.ImageFile, place, fail)
    with pytest.raises(UnreadableImage, match=r"damaged PNG: .*of the") as caught:
        read_image(FILES["PNG"], short_side=SIDE)
    assert "\n" not in str(caught.value)


def test_our_own_mistakes_are_not_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_formats, "check_size", None)
    with pytest.raises(TypeError):
        read_image(FILES["PNG"], short_side=SIDE)


def test_large_run_length_bitmaps_are_refused_before_unpacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    with pytest.raises(UnreadableImage, match="run lengths"):
        read_image(
            run_length_bmp(200, 200)[:18] + struct.pack("<ii", 5000, 5000) + run_length_bmp()[26:], short_side=SIDE
        )


def test_only_the_named_format_is_tried() -> None:
    with pytest.raises(UnreadableImage, match="damaged GIF"):
        read_image(b"GIF89a" + FILES["PNG"], short_side=SIDE)


def test_truncated_images_are_not_loaded() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_corrupt_exif_is_upright() -> None:
    data = encoded(PICTURE, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(read_image(data, short_side=0), PICTURE)
    with Image.open(io.BytesIO(data)) as image:
        assert "exif" in image.info
