"""The images that fuzzing starts from: every format, colour mode and way of storing it, made in memory."""

from __future__ import annotations

import functools
import io
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageCms

from fuzz import handmade

WIDTH, HEIGHT = 27, 19
ORIENTATION, SIDEWAYS = 0x0112, 6
BOMB_SIDES = (14_000, 6_000)


@dataclass(frozen=True)
class Seed:
    """A file to mutate; ``size`` (width, height) where the decoder has to give it, None where it may refuse."""

    kind: str
    name: str
    data: bytes
    size: tuple[int, int] | None = (WIDTH, HEIGHT)


@functools.cache
def seeds() -> tuple[Seed, ...]:
    """Return all seeds, the same in every run."""
    makers = (_jpegs, _pngs, _gifs, _webps, _bmps, _tiffs, _others)
    return tuple(seed for maker in makers for seed in maker())


@functools.cache
def by_kind() -> dict[str, tuple[Seed, ...]]:
    """Return the seeds of each kind."""
    kinds = sorted({seed.kind for seed in seeds()})
    return {kind: tuple(seed for seed in seeds() if seed.kind == kind) for kind in kinds}


def bombs() -> tuple[Seed, ...]:
    """Return small files that unpack to a lot, each below and above the limit on pixels; too slow to mutate."""
    width, height = BOMB_SIDES
    black = Image.new("1", BOMB_SIDES)
    made = [
        ("png", "84 megapixels", saved(black, "PNG")),
        ("png", "84 megapixels RGBA", saved(Image.new("RGBA", BOMB_SIDES), "PNG", compress_level=1)),
        ("png", "84 megapixels 16-bit", _flat_png(width, height, depth=16, color=0)),
        ("png", "text of 200 MB", _with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 << 20)))),
        ("png", "profile of 200 MB", _with_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200 << 20)))),
        ("jpeg", "84 megapixels", saved(Image.new("L", BOMB_SIDES), "JPEG", quality=1)),
        ("jpeg", "84 megapixels progressive", saved(Image.new("RGB", BOMB_SIDES), "JPEG", progressive=True)),
        ("jpeg", "84 megapixels CMYK", saved(Image.new("CMYK", BOMB_SIDES), "JPEG", quality=1)),
        ("gif", "84 megapixels", saved(Image.new("P", BOMB_SIDES), "GIF")),
        ("tiff", "84 megapixels", saved(black, "TIFF", compression="group4")),
        ("webp", "84 megapixels", saved(Image.new("RGB", (14_000, 6_300)), "WEBP", quality=0, method=0)),
        ("png", "60,000 x 60,000", _resized_png(60_000, 60_000)),
    ]
    return tuple(Seed(kind, f"bomb: {name}", data, None) for kind, name, data in made)


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Return a colourful picture with smooth and rough parts."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 120 * np.sin(x / a + y / b) for a, b in ((3, 7), (5, 2), (11, 4))]
    return Image.fromarray(np.stack(waves, axis=2).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _exif(orientation: int = SIDEWAYS) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010E] = "a description long enough to lie outside of its entry"
    return exif


def _frames() -> list[Image.Image]:
    return [picture().rotate(90 * turn) for turn in range(3)]


def _jpegs() -> Iterator[Seed]:
    image = picture()
    options: dict[str, dict[str, object]] = {
        "baseline": {"quality": 90},
        "4:4:4": {"quality": 95, "subsampling": 0},
        "4:2:2": {"quality": 75, "subsampling": 1},
        "progressive": {"progressive": True},
        "optimized": {"optimize": True, "quality": 20},
        "restarts": {"restart_marker_blocks": 1},
        "profile": {"icc_profile": _profile()},
        "comment": {"comment": b"made for mutation"},
        "kept RGB": {"keep_rgb": True},
        "everything": {"exif": _exif(1), "icc_profile": _profile(), "progressive": True, "comment": b"x" * 300},
    }
    for name, chosen in options.items():
        yield Seed("jpeg", name, saved(image, "JPEG", **chosen))
    yield Seed("jpeg", "EXIF", saved(image, "JPEG", exif=_exif()), (HEIGHT, WIDTH))
    yield Seed("jpeg", "gray", saved(image.convert("L"), "JPEG"))
    cmyk = saved(image.convert("CMYK"), "JPEG", quality=90)
    yield Seed("jpeg", "CMYK", cmyk)
    yield Seed("jpeg", "CMYK profile", saved(image.convert("CMYK"), "JPEG", icc_profile=_profile()))
    # Adobe's segment says what the four components are; its last byte 2 is YCCK.
    adobe = cmyk.index(b"Adobe") + 11
    yield Seed("jpeg", "YCCK", cmyk[:adobe] + b"\2" + cmyk[adobe + 1 :])
    yield Seed("jpeg", "pictures", saved(image, "MPO", save_all=True, append_images=_frames()))
    yield Seed("jpeg", "trailing bytes", saved(image, "JPEG") + b"\xff\xd9 and more" * 9)
    large = np.asarray(picture(160, 120))
    yield Seed("jpeg", "simplejpeg", simplejpeg.encode_jpeg(large, colorsubsampling="420"), (160, 120))
    written = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2])[1]
    yield Seed("jpeg", "OpenCV", written.tobytes(), (160, 120))


def _pngs() -> Iterator[Seed]:
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
    for color, allowed in depths.items():
        for depth in allowed:
            for interlaced in (False, True):
                data = handmade.png(WIDTH, HEIGHT, depth=depth, color=color, interlaced=interlaced)
                yield Seed("png", f"color {color} depth {depth}{' interlaced' * interlaced}", data)
    for color, transparent in ((0, b"\0\1"), (2, b"\0\1\0\2\0\3"), (3, b"\0\x80")):
        extra = (handmade.png_chunk(b"tRNS", transparent),)
        yield Seed("png", f"tRNS {color}", handmade.png(WIDTH, HEIGHT, depth=8, color=color, extra=extra))
    image = picture()
    yield Seed("png", "profile", saved(image, "PNG", icc_profile=_profile()))
    yield Seed("png", "EXIF", saved(image, "PNG", exif=_exif()), (HEIGHT, WIDTH))
    yield Seed("png", "animated", saved(image, "PNG", save_all=True, append_images=_frames()))
    texts = (
        handmade.png_chunk(b"gAMA", struct.pack(">I", 45455)),
        handmade.png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"words " * 50)),
        handmade.png_chunk(b"iTXt", b"Title\0\1\0de\0Titel\0" + zlib.compress("größer".encode())),
        handmade.png_chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    )
    yield Seed("png", "texts", handmade.png(WIDTH, HEIGHT, depth=8, color=2, extra=texts))
    yield Seed("png", "OpenCV", cv2.imencode(".png", np.asarray(picture(90, 70)))[1].tobytes(), (90, 70))


def _gifs() -> Iterator[Seed]:
    image, frames = picture(), _frames()
    yield Seed("gif", "plain", saved(image, "GIF"))
    yield Seed("gif", "gray", saved(image.convert("L"), "GIF", interlace=True))
    yield Seed("gif", "two colours", saved(image.convert("1"), "GIF", interlace=False))
    yield Seed("gif", "transparent", saved(image.convert("P"), "GIF", transparency=3, background=3))
    yield Seed("gif", "comment", saved(image, "GIF", comment=b"made for mutation " * 20))
    for disposal in range(4):
        data = saved(image, "GIF", save_all=True, append_images=frames, disposal=disposal, loop=0, duration=40)
        yield Seed("gif", f"animated, disposal {disposal}", data)


def _webps() -> Iterator[Seed]:
    image, frames = picture(), _frames()
    clear = image.copy()
    clear.putalpha(image.convert("L"))
    yield Seed("webp", "lossy", saved(image, "WEBP", quality=60))
    yield Seed("webp", "lossless", saved(image, "WEBP", lossless=True))
    yield Seed("webp", "lossy alpha", saved(clear, "WEBP", quality=60))
    yield Seed("webp", "lossless alpha", saved(clear, "WEBP", lossless=True))
    yield Seed("webp", "EXIF", saved(image, "WEBP", exif=_exif().tobytes()), (HEIGHT, WIDTH))
    yield Seed("webp", "profile", saved(image, "WEBP", icc_profile=_profile(), xmp=b"<x/>"))
    yield Seed("webp", "animated", saved(clear, "WEBP", save_all=True, append_images=frames, duration=40))


def _bmps() -> Iterator[Seed]:
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        yield Seed("bmp", f"Pillow {mode}", saved(picture().convert(mode), "BMP"))
    for bits in (1, 4, 8, 16, 24, 32):
        yield Seed("bmp", f"{bits} bits", handmade.bmp(WIDTH, HEIGHT, bits=bits))
    yield Seed("bmp", "top to bottom", handmade.bmp(WIDTH, -HEIGHT, bits=24))
    yield Seed("bmp", "5:6:5", handmade.bmp(WIDTH, HEIGHT, bits=16, compression=3))
    yield Seed("bmp", "RLE8", handmade.bmp_run_length(WIDTH, HEIGHT, bits=8))
    yield Seed("bmp", "RLE4", handmade.bmp_run_length(WIDTH, HEIGHT, bits=4))
    yield Seed("bmp", "OS/2", handmade.bmp_os2(WIDTH, HEIGHT))


def _tiffs() -> Iterator[Seed]:
    for compression in (None, "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "jpeg", "zstd", "lzma"):
        yield Seed("tiff", f"{compression}", saved(picture(), "TIFF", compression=compression))
    for compression in ("group3", "group4", "tiff_ccitt"):
        yield Seed("tiff", compression, saved(picture().convert("1"), "TIFF", compression=compression))
    for mode in ("1", "L", "P", "LA", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "I;16"):
        yield Seed("tiff", mode, saved(_as_mode(mode), "TIFF"))
        # libtiff writes none of these packed
        if mode not in {"LAB", "YCbCr", "RGBX"}:
            yield Seed("tiff", f"{mode} LZW", saved(_as_mode(mode), "TIFF", compression="tiff_lzw"))
    for mode in ("I", "F"):
        yield Seed("tiff", mode, saved(picture().convert(mode), "TIFF"), None)
    image = picture()
    yield Seed("tiff", "pages", saved(image, "TIFF", save_all=True, append_images=_frames()))
    yield Seed("tiff", "big", saved(image, "TIFF", big_tiff=True, compression="tiff_lzw"))
    yield Seed("tiff", "profile", saved(image, "TIFF", icc_profile=_profile()))
    yield Seed("tiff", "turned", saved(image, "TIFF", tiffinfo={ORIENTATION: SIDEWAYS}), (HEIGHT, WIDTH))
    yield Seed("tiff", "strips", saved(image, "TIFF", tiffinfo={278: 4}, compression="tiff_lzw"))
    yield Seed("tiff", "big-endian", handmade.tiff(WIDTH, HEIGHT, order=">"), (HEIGHT, WIDTH))
    yield Seed("tiff", "tiles", handmade.tiff(WIDTH, HEIGHT, tile=16))
    yield Seed("tiff", "planes", handmade.tiff(WIDTH, HEIGHT, planar=True))
    yield Seed("tiff", "16 bits", handmade.tiff(WIDTH, HEIGHT, bits=16))
    yield Seed("tiff", "gray tiles 16 bits", handmade.tiff(WIDTH, HEIGHT, bits=16, channels=1, tile=16))


def _as_mode(mode: str) -> Image.Image:
    image = picture()
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode == "LAB":
        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        return ImageCms.applyTransform(image, to_lab) or image
    return image.convert("RGBA").convert("LA") if mode == "LA" else image.convert(mode)


def _others() -> Iterator[Seed]:
    image = picture()
    others = {
        kind: saved(image, kind) for kind in ("ICO", "JPEG2000", "AVIF", "PPM", "TGA", "PCX", "SGI", "EPS", "PDF")
    }
    others |= {"SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>', "text": b"no image\n" * 40, "zeros": bytes(4096)}
    others |= {"empty": b"", "shell": b"#!/bin/sh\nexit 0\n", "zip": b"PK\3\4" + bytes(60)}
    for name, data in others.items():
        yield Seed("other", name, data, None)


def _flat_png(width: int, height: int, *, depth: int, color: int) -> bytes:
    packer = zlib.compressobj(1)
    row = bytes(1 + -(-width * depth * handmade.PNG_CHANNELS[color] // 8))
    data = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = handmade.png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return handmade.PNG_MAGIC + header + handmade.png_chunk(b"IDAT", data) + handmade.png_chunk(b"IEND", b"")


def _with_chunk(kind: bytes, content: bytes) -> bytes:
    return handmade.png(WIDTH, HEIGHT, depth=8, color=2, extra=(handmade.png_chunk(kind, content),))


def _resized_png(width: int, height: int) -> bytes:
    data = handmade.png(WIDTH, HEIGHT, depth=8, color=2)
    header = handmade.png_chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29])
    return data[:8] + header + data[33:]


def write_bombs(folder: Path) -> None:
    """Write the bombs to files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(bombs()):
        (folder / f"{number:02}.bin").write_bytes(seed.data)


if __name__ == "__main__":
    write_bombs(Path(sys.argv[1]))
