"""Decoding: the right colours, upright, from every kind of JPEG and PNG, and a reason for what is none."""

import io
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg
from pictures import Pixels, encoded, gradient
from PIL import Image, ImageOps

from preprocess import decode
from preprocess.decode import UnreadableImage, read_image
from preprocess.encode import encode_image

SIDE = 24


def difference(first: Pixels, second: Pixels) -> float:
    assert first.shape == second.shape
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"quality": 95}), ("JPEG", {"progressive": True})])
def test_colours_are_rgb(kind: str, options: dict[str, object]) -> None:
    picture = gradient(40, SIDE)
    pixels = read_image(encoded(picture, kind, **options), short_side=SIDE)
    assert pixels.dtype == np.uint8
    assert difference(pixels, picture) < 2.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_as_pillow_does_it(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(gradient(40, SIDE), kind, exif=exif, **({"quality": 98, "subsampling": 0} if kind == "JPEG" else {}))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert difference(read_image(data, short_side=SIDE), expected) < 1


def with_alpha(mode: str) -> tuple[Image.Image, tuple[int, int, int]]:
    """Return a picture whose left half is opaque and right half transparent, and the colour of the left half."""
    rgba = np.zeros((SIDE, 2 * SIDE, 4), np.uint8)
    rgba[:, :SIDE] = (200, 30, 90, 255)
    image = Image.fromarray(rgba)
    if mode == "LA":
        return image.convert("LA"), (88, 88, 88)
    if mode == "P":
        palette = image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
        palette.info["transparency"] = palette.getpixel((SIDE + 2, 2))
        return palette, (200, 30, 90)
    return image, (200, 30, 90)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white(mode: str) -> None:
    image, colour = with_alpha(mode)
    pixels = read_image(encoded(image, "PNG"), short_side=SIDE)
    assert np.abs(pixels[:, : SIDE - 2].astype(int) - colour).max() <= 1
    assert (pixels[:, SIDE + 2 :] == 255).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_other_png_modes_look_like_pillows_rgb(mode: str) -> None:
    image = Image.fromarray(gradient(30, SIDE)).convert(mode)
    assert difference(read_image(encoded(image, "PNG"), short_side=SIDE), np.asarray(image.convert("RGB"))) == 0


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_brightness(channels: int) -> None:
    deep = np.full((SIDE, SIDE, channels), 0xFFFF, np.uint16)
    deep[..., 0] = 0x4080  # blue for OpenCV, or the gray
    pixels = read_image(cv2.imencode(".png", deep)[1].tobytes(), short_side=SIDE)
    expected = (0x40,) * 3 if channels == 1 else (0xFF, 0xFF, 0x40)
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_gray_and_cmyk_jpeg() -> None:
    picture = gradient(40, SIDE)
    gray = Image.fromarray(picture).convert("L")
    pixels = read_image(encoded(gray, "JPEG", quality=98), short_side=SIDE)
    assert difference(pixels, np.asarray(gray.convert("RGB"))) < 1
    cmyk = Image.fromarray(picture).convert("CMYK")
    assert difference(read_image(encoded(cmyk, "JPEG", quality=98), short_side=SIDE), picture) < 2.5


@pytest.mark.parametrize(("width", "height"), [(48, 24), (24, 48), (301, 200), (200, 301), (17, 12), (9, 31), (24, 24)])
def test_short_side_and_aspect(width: int, height: int) -> None:
    rows, columns, _ = read_image(encoded(gradient(width, height)), short_side=SIDE).shape
    assert min(rows, columns) == SIDE
    assert max(rows, columns) == pytest.approx(SIDE * max(width, height) / min(width, height), abs=0.51)


@pytest.mark.parametrize("scale", [1.1, 1.9, 2, 2.5, 3.7, 4, 7.9, 8, 9.3, 20])
def test_shrink_on_load_looks_like_averaging_the_whole_image(scale: float) -> None:
    height = round(SIDE * scale)
    data = encoded(gradient(2 * height + 3, height), "JPEG", quality=97)
    whole = simplejpeg.decode_jpeg(data, "RGB")
    expected = decode.resize(whole, size=decode.scaled_size(*whole.shape[:2], SIDE))
    assert difference(read_image(data, short_side=SIDE), expected) < 1.5


def test_the_decoder_only_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    original = simplejpeg.decode_jpeg

    def spy(*arguments: object, **options: object) -> Pixels:
        pixels = original(*arguments, **options)
        sizes.append(pixels.shape[:2])
        return pixels

    monkeypatch.setattr(simplejpeg, "decode_jpeg", spy)
    for height in (30, 47, 48, 95, 97, 191, 193, 500):
        read_image(encoded(gradient(height + 5, height), "JPEG"), short_side=SIDE)
    assert [height for height, _ in sizes] == [30, 47, 48, 48, 49, 48, 49, 63]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"just text", "neither a JPEG nor a PNG"),
        (b"\xff\xd8\xff", "damaged JPEG"),
        (encoded(gradient(64, 64), "JPEG")[:-300], "damaged JPEG"),
        (encoded(gradient(64, 64), "PNG")[:-100], "damaged PNG"),
        (encoded(gradient(64, 64), "PNG")[:20], "damaged PNG"),
        (encoded(gradient(8, 8), "GIF"), "neither a JPEG nor a PNG"),
    ],
)
def test_what_is_no_whole_image_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        read_image(data, short_side=SIDE)


def png_of_size(width: int, height: int) -> bytes:
    """Return the start of a PNG that claims a size and holds nothing: decoding it would need the memory first."""
    data = bytearray(encoded(gradient(8, 8)))
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes(data[24:29])
    data[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000)])
def test_a_bomb_is_refused_by_its_header(width: int, height: int) -> None:
    with pytest.raises(UnreadableImage, match="limit"):
        read_image(png_of_size(width, height), short_side=SIDE)


def test_a_thin_image_does_not_blow_up_when_it_is_scaled() -> None:
    with pytest.raises(UnreadableImage, match="too long for its width"):
        read_image(encoded(gradient(5000, 1)), short_side=256)


def test_png_records_are_lossless_and_jpeg_records_keep_full_colour() -> None:
    picture = gradient(SIDE, SIDE)
    assert difference(read_image(encode_image(picture, record_format="png", quality=1), short_side=SIDE), picture) == 0
    jpeg = encode_image(picture, record_format="jpg", quality=95)
    assert simplejpeg.decode_jpeg_header(jpeg)[3] == "444"
    assert difference(simplejpeg.decode_jpeg(jpeg, "RGB"), picture) < 2
