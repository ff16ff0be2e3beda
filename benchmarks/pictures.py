"""The files that are packed: photographs of wanted sizes, as many distinct files of them as wanted.

The base set is a folder of photographs (`--images`), else the untouched originals of IMGPIPE_TEST_DATA, else crops of
the two photographs that come with scikit-learn, so that a measurement needs nothing but the repository.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from sklearn.datasets import load_sample_images

from benchmarks.measure import BenchmarkError

# Long and short side of the median ImageNet photograph.
PHOTO = (500, 375)
LARGE = (4000, 3000)
SMALL = (128, 96)
PHOTO_QUALITY, LARGE_QUALITY = 90, 92
CLASSES = 10
TEST_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ORIGINALS = "pizza_512_originals"
_SUFFIXES = (".jpg", ".jpeg", ".png")
_CROPS_PER_SIDE = 4
_COMMENT = b"\xff\xfe"  # JPEG's COM marker, ITU-T T.81, B.2.4.5


@dataclass(frozen=True, kw_only=True)
class Base:
    """Photographs of PHOTO's size, either way round; where they come from, and how many were too small to use."""

    pictures: Sequence[Image.Image]
    origin: str
    left_out: int = 0


def load_base(folder: Path | None) -> Base:
    """Return the base set; BenchmarkError where ``folder`` holds no photograph that is large enough."""
    if folder is None:
        folder = Path(os.environ.get("IMGPIPE_TEST_DATA") or TEST_DATA) / ORIGINALS
        if not folder.is_dir():
            return _embedded()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    pictures = [picture for path in files if (picture := _photo(path)) is not None]
    if not pictures:
        raise BenchmarkError(f"{folder} holds no photograph that covers {PHOTO[0]}x{PHOTO[1]}: give another --images")
    return Base(pictures=pictures, origin=folder.name, left_out=len(files) - len(pictures))


def _photo(path: Path) -> Image.Image | None:
    """Return the middle of a picture, 4:3 or 3:4, reduced to PHOTO's size; None where it would have to grow."""
    with Image.open(path) as opened:
        picture = ImageOps.exif_transpose(opened).convert("RGB")
    size = PHOTO if picture.width >= picture.height else PHOTO[::-1]
    if picture.width < size[0] or picture.height < size[1]:
        return None
    return ImageOps.fit(picture, size, method=Image.Resampling.LANCZOS)


def _embedded() -> Base:
    """Return crops, half of them mirrored, of scikit-learn's sample photographs (640x427)."""
    pictures: list[Image.Image] = []
    for number, pixels in enumerate(load_sample_images().images):
        whole = Image.fromarray(pixels)
        steps = np.linspace(0, 1, _CROPS_PER_SIDE)
        for x, y in ((x, y) for x in steps for y in steps):
            left, top = round(x * (whole.width - PHOTO[0])), round(y * (whole.height - PHOTO[1]))
            crop = whole.crop((left, top, left + PHOTO[0], top + PHOTO[1]))
            pictures.append(ImageOps.mirror(crop) if (len(pictures) + number) % 2 else crop)
    return Base(pictures=pictures, origin="crops of scikit-learn's sample photographs")


def photo_files(base: Base) -> list[bytes]:
    """Return each photograph of the base as a JPEG of PHOTO's size, 4:2:0."""
    return [_jpeg(picture, PHOTO_QUALITY) for picture in base.pictures]


def small_files(base: Base) -> list[bytes]:
    """Return each photograph as a JPEG of SMALL's size."""
    return [_jpeg(_scaled(picture, SMALL, Image.Resampling.LANCZOS), PHOTO_QUALITY) for picture in base.pictures]


def large_files(base: Base, count: int, *, noise: float) -> list[bytes]:
    """Return ``count`` JPEGs of 12 megapixels: enlarged photographs; ``noise`` is its standard deviation."""
    generator = np.random.default_rng(0)
    files = []
    for number in range(count):
        picture = _scaled(base.pictures[number % len(base.pictures)], LARGE, Image.Resampling.BICUBIC)
        pixels = np.asarray(picture, dtype=np.float32)
        # In brightness only, as cameras leave it: they smooth colour noise away.
        pixels = pixels + generator.normal(scale=noise, size=(*pixels.shape[:2], 1)).astype(np.float32)
        files.append(_jpeg(Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8)), LARGE_QUALITY))
    return files


def _scaled(picture: Image.Image, size: tuple[int, int], method: Image.Resampling) -> Image.Image:
    return picture.resize(size if picture.width >= picture.height else size[::-1], method)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def distinct(files: Sequence[bytes], count: int) -> Iterator[bytes]:
    """Yield ``count`` files that all differ: those of ``files`` in turn, each with a JPEG comment of its own."""
    for number in range(count):
        data, comment = files[number % len(files)], f"{number:09}".encode()
        yield data[:2] + _COMMENT + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:]


def write_folder(folder: Path, files: Sequence[bytes], count: int) -> Path:
    """Write ``count`` distinct files in CLASSES class folders; returns ``folder``."""
    for number in range(min(CLASSES, count)):
        (folder / f"class_{number}").mkdir(parents=True)
    for number, data in enumerate(distinct(files, count)):
        (folder / f"class_{number % CLASSES}" / f"{number:06}.jpg").write_bytes(data)
    os.sync()  # else the disk is busy with these while the first contestant is measured
    return folder
