"""Decoding: the right colours, upright, from every kind of file, and a reason for what is none."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import Pixels, difference, encoded, gradient, noisy, with_orientation
from PIL import Image, ImageCms, ImageOps

from common.recordio import Header, RecordWriter
from preprocess.decode import UnreadableImage, read_image
from preprocess.encode import encode_image

SIDE = 24
FORMATS = [
    ("PNG", {}),
    ("JPEG", {"quality": 95}),
    ("JPEG", {"quality": 95, "progressive": True}),
    ("WEBP", {"lossless": True}),
    ("BMP", {}),
    ("GIF", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "jpeg", "quality": 95}),
]


@pytest.mark.parametrize(("kind", "options"), FORMATS)
def test_colours_are_rgb(kind: str, options: dict[str, object]) -> None:
    picture = gradient(40, SIDE)
    pixels = read_image(encoded(picture, kind, **options), short_side=SIDE)
    assert pixels.dtype == np.uint8
    assert pixels.flags["C_CONTIGUOUS"]
    assert difference(pixels, picture) < 2.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_as_pillow_does_it(kind: str, orientation: int) -> None:
    picture = gradient(40, SIDE)
    options: dict[str, object] = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(picture, kind, exif=with_orientation(orientation), **options)
    expected = np.asarray(ImageOps.exif_transpose(_tagged(picture, orientation)))
    assert difference(read_image(data, short_side=SIDE), expected) < 1


def _tagged(picture: Pixels, orientation: int) -> Image.Image:
    image = Image.fromarray(picture)
    image.getexif()[0x0112] = orientation
    return image


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


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("P", "GIF"), ("RGBA", "WEBP"), ("RGBA", "TIFF")],
)
def test_transparency_is_white(mode: str, kind: str) -> None:
    image, colour = with_alpha(mode)
    pixels = read_image(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})), short_side=SIDE)
    assert np.abs(pixels[:, : SIDE - 2].astype(int) - colour).max() <= 1
    assert (pixels[:, SIDE + 2 :] == 255).all()


def test_half_transparent_is_half_white() -> None:
    rgba = np.full((SIDE, SIDE, 4), (200, 30, 90, 128), np.uint8)
    pixels = read_image(encoded(Image.fromarray(rgba)), short_side=SIDE)
    assert np.abs(pixels.astype(int) - (227, 142, 172)).max() <= 1


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_other_modes_look_like_pillows_rgb(mode: str, kind: str) -> None:
    image = Image.fromarray(gradient(30, SIDE)).convert(mode)
    assert difference(read_image(encoded(image, kind), short_side=SIDE), np.asarray(image.convert("RGB"))) == 0


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_high_byte(channels: int, suffix: str) -> None:
    deep = np.full((SIDE, SIDE, channels), 0xFFFF, np.uint16)
    deep[..., 0] = 0x4080  # blue for OpenCV, or the gray
    pixels = read_image(cv2.imencode(suffix, deep)[1].tobytes(), short_side=SIDE)
    expected = (0x40,) * 3 if channels == 1 else (0xFF, 0xFF, 0x40)
    assert np.abs(pixels.astype(int) - expected).max() == 0


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_gray(kind: str) -> None:
    gray = Image.fromarray(gradient(40, SIDE)).convert("L")
    pixels = read_image(encoded(gray, kind, **({"quality": 98} if kind == "JPEG" else {})), short_side=SIDE)
    assert difference(pixels, np.asarray(gray.convert("RGB"))) < 1


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    picture = gradient(40, SIDE)
    data = encoded(Image.fromarray(picture).convert("CMYK"), kind, **({"quality": 98} if kind == "JPEG" else {}))
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "CMYK"
        expected = np.asarray(image.convert("RGB"))
    pixels = read_image(data, short_side=SIDE)
    assert difference(pixels, picture) < 2.5
    assert difference(pixels, expected) < 0.5


def test_the_first_frame_of_several() -> None:
    frames = [Image.fromarray(gradient(30, SIDE, seed=seed)) for seed in (0, 500, 900)]
    frames[1] = frames[1].rotate(180)
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert difference(read_image(data, short_side=SIDE), np.asarray(frames[0])) < 2.5


@pytest.mark.parametrize(("width", "height"), [(48, 24), (24, 48), (301, 200), (200, 301), (17, 12), (9, 31), (24, 24)])
def test_short_side_and_aspect(width: int, height: int) -> None:
    rows, columns, _ = read_image(encoded(gradient(width, height)), short_side=SIDE).shape
    assert min(rows, columns) == SIDE
    assert max(rows, columns) == pytest.approx(SIDE * max(width, height) / min(width, height), abs=0.51)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_short_side_zero_keeps_the_size(kind: str) -> None:
    picture = gradient(301, 200)
    assert difference(read_image(encoded(picture, kind), short_side=0), picture) < 2.5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("width", "height"), [(41, SIDE), (SIDE, 41)])
def test_square_cuts_the_middle_of_the_upright_picture(width: int, height: int, orientation: int) -> None:
    picture = noisy(width, height)
    data = encoded(picture, exif=with_orientation(orientation))
    upright = np.asarray(ImageOps.exif_transpose(_tagged(picture, orientation)))
    top, left = ((41 - SIDE) // 2, 0) if upright.shape[0] == 41 else (0, (41 - SIDE) // 2)
    expected = upright[top : top + SIDE, left : left + SIDE]
    assert np.array_equal(read_image(data, short_side=SIDE, crop="square"), expected)
    assert np.array_equal(read_image(data, short_side=0, crop="square"), expected)


@pytest.mark.parametrize("scale", [1.3, 4, 9.3])
def test_square_is_the_middle_of_the_scaled_picture_too(scale: float) -> None:
    data = encoded(gradient(round(3 * SIDE * scale), round(SIDE * scale)), "JPEG", quality=97)
    whole = read_image(data, short_side=SIDE)
    start = (whole.shape[1] - SIDE) // 2
    assert difference(read_image(data, short_side=SIDE, crop="square"), whole[:, start : start + SIDE]) < 1.5


def test_a_long_strip_can_be_cut_though_not_scaled() -> None:
    data = encoded(gradient(5000, 1))
    with pytest.raises(UnreadableImage, match="too long for its width"):
        read_image(data, short_side=256)
    assert read_image(data, short_side=256, crop="square").shape == (256, 256, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_one_pixel(kind: str) -> None:
    pixels = read_image(encoded(np.full((1, 1, 3), (200, 30, 90), np.uint8), kind), short_side=SIDE)
    assert pixels.shape == (SIDE, SIDE, 3)
    assert np.abs(pixels.astype(int) - (200, 30, 90)).max() < 12


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"just text", "neither JPEG, PNG, WebP, BMP, GIF nor TIFF"),
        (b"RIFF\0\0\0\0WAVE", "neither JPEG"),
        (b"\xff\xd8\xff", "damaged JPEG: no whole image header"),
        (b"\x89PNG\r\n\x1a\n", "damaged PNG: no image in it"),
        (b"BM", "damaged BMP"),
    ],
)
def test_what_is_no_image_has_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        read_image(data, short_side=SIDE)


def test_the_reason_is_one_line() -> None:
    with pytest.raises(UnreadableImage) as caught:
        read_image(encoded(noisy(50, 40), "TIFF")[:-500], short_side=SIDE)
    assert "\n" not in str(caught.value)


def exchanged() -> bytes:
    """Return the profile of a file whose red and green are exchanged: that it is applied is easy to see."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tmpX").replace(b"gXYZ", b"rXYZ").replace(b"tmpX", b"gXYZ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_profile_is_applied_if_asked_for(kind: str) -> None:
    colour = np.full((SIDE, SIDE, 3), (200, 30, 90), np.uint8)
    data = encoded(colour, kind, icc_profile=exchanged(), **({"lossless": True} if kind == "WEBP" else {}))
    assert difference(read_image(data, short_side=SIDE), colour) < 2
    assert difference(read_image(data, short_side=SIDE, convert_icc=True), colour[:, :, [1, 0, 2]]) < 3


@pytest.mark.parametrize("profile", [b"broken", exchanged()[:200]])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_broken_profile_is_ignored(kind: str, profile: bytes) -> None:
    colour = np.full((SIDE, SIDE, 3), (200, 30, 90), np.uint8)
    data = encoded(colour, kind, icc_profile=profile)
    assert difference(read_image(data, short_side=SIDE, convert_icc=True), colour) < 2


def test_a_profile_for_other_colours_is_ignored() -> None:
    data = encoded(Image.fromarray(gradient(30, SIDE)).convert("CMYK"), "JPEG", quality=98, icc_profile=exchanged())
    without = read_image(data, short_side=SIDE)
    assert np.array_equal(read_image(data, short_side=SIDE, convert_icc=True), without)


def test_a_jpeg_is_read_without_importing_pillow(tmp_path: Path) -> None:
    path = tmp_path / "upright.jpg"
    path.write_bytes(encoded(gradient(40, SIDE), "JPEG", exif=with_orientation(6)))
    program = (
        "import sys, pathlib; from preprocess.decode import read_image; "
        f"print(read_image(pathlib.Path({str(path)!r}).read_bytes(), short_side=12).shape, 'PIL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(20, 12, 3) False"


def shown() -> dict[str, tuple[bytes, Pixels]]:
    """Return files of every kind and colour mode, each with what it shows by Pillow or by how it was made."""
    picture = gradient(SIDE, SIDE)
    image = Image.fromarray(picture)
    files = {f"{kind} {options}": (encoded(picture, kind, **options), picture) for kind, options in FORMATS}
    for orientation in range(1, 9):
        data = encoded(picture, "JPEG", quality=98, exif=with_orientation(orientation))
        files[f"orientation {orientation}"] = data, np.asarray(ImageOps.exif_transpose(_tagged(picture, orientation)))
    for mode in ("1", "L", "P"):
        files[mode] = encoded(image.convert(mode)), np.asarray(image.convert(mode).convert("RGB"))
    cut = picture.copy()
    cut[:, SIDE // 2 :] = 255
    rgba = np.dstack([picture, np.where(np.arange(SIDE) < SIDE // 2, 255, 0)[None].repeat(SIDE, 0)]).astype(np.uint8)
    files["RGBA"] = encoded(Image.fromarray(rgba)), cut
    files["LA"] = (
        encoded(Image.fromarray(rgba).convert("LA")),
        np.asarray(Image.fromarray(cut).convert("L").convert("RGB")),
    )
    deep = picture[:, :, ::-1].astype(np.uint16) << 8
    files["16-bit RGB"] = cv2.imencode(".png", deep)[1].tobytes(), picture
    files["16-bit gray"] = cv2.imencode(".png", deep[:, :, :1])[1].tobytes(), picture[:, :, 2:].repeat(3, axis=2)
    files["CMYK"] = encoded(image.convert("CMYK"), "JPEG", quality=98), picture
    files["YCCK"] = ycck(picture), picture
    files["profile"] = encoded(picture, icc_profile=exchanged()), picture
    return files


def ycck(picture: Pixels) -> bytes:
    """Return a YCCK JPEG as Adobe writes them: the negative as YCbCr, and black inverted, here none of it."""
    planes = np.full((*picture.shape[:2], 4), 255, np.uint8)
    planes[:, :, :3] = np.asarray(Image.fromarray(255 - picture).convert("YCbCr"))
    inverted_by_pillow = Image.frombytes("CMYK", planes.shape[1::-1], (255 - planes).tobytes())
    data = encoded(inverted_by_pillow, "JPEG", quality=98)
    place = data.index(b"Adobe") + 11
    return data[:place] + b"\x02" + data[place + 1 :]


@pytest.mark.parametrize("record_format", ["png", "jpg"])
def test_mxnet_reads_back_what_the_file_shows(
    tmp_path: Path, read_with_mxnet: Callable[..., tuple[Pixels, list[int]]], record_format: str
) -> None:
    files = shown()
    with (tmp_path / "all.rec").open("wb") as file:
        writer = RecordWriter(file)
        for number, (data, _) in enumerate(files.values()):
            pixels = read_image(data, short_side=SIDE)
            writer.write(
                Header((float(number),), number), encode_image(pixels, record_format=record_format, quality=98)
            )
    found, labels = read_with_mxnet(tmp_path / "all.rec", side=SIDE)
    assert labels == list(range(len(files)))
    wrong = {
        name: difference(pixels, expected)
        for (name, (_, expected)), pixels in zip(files.items(), found, strict=True)
        if difference(pixels, expected) > 2.5
    }
    assert not wrong
    exchanged_channels = found[0][:, :, ::-1]
    assert difference(exchanged_channels, next(iter(files.values()))[1]) > 50
