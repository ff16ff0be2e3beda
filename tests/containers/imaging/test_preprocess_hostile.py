"""Hostile input: no file crashes the packer, each is packed, rejected with a reason, or counted as ignored."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from packing_programs import (
    Done,
    check_leaves_nothing,
    check_nothing_is_lost,
    finish,
    pack_container,
    pack_folder,
    pack_scaled_out,
    shown,
    start,
)
from pictures import encoded, gradient
from PIL import Image

from common.contract import ContainerError
from common.lists import read_list
from common.recordio import read_records

MakeFolder = Callable[..., Path]
MIB = 1024**2
# A picture of 60,000 x 60,000 takes 10 GiB; the packer with its libraries about 100 MiB.
MEMORY_LIMIT = 400 * MIB
HUGE = 60_000
PICTURE = encoded(gradient(40, 30, seed=77))
JPEG = encoded(gradient(64, 48, seed=78), "JPEG", quality=90)


@pytest.fixture
def source(make_folder: MakeFolder) -> Path:
    """Two classes of six good images each, 000.png to 005.png."""
    return make_folder(cat=6, dog=6)


def check(
    source: Path,
    tmp_path: Path,
    *,
    rejected: dict[str, str],
    packed: tuple[str, ...] = (),
    options: tuple[str, ...] = (),
) -> Done:
    """Pack with the container; ``rejected`` has a part of the reason by path, ``packed`` what is packed beside 12 good.

    Then once more with the command, which is to fail when nothing may be rejected and to pack the same when it may.
    """
    done = pack_container(source, tmp_path / "ml", "--max-rejected-fraction", "1", *options)
    assert done.code == 0, done.err
    assert sorted(path for path, _, _ in done.rejected) == sorted(map(shown, rejected))
    for path, reason, size in done.rejected:
        original = next(name for name in rejected if shown(name) == path)
        assert rejected[original] in reason
        assert size == size_of(source / original)
    good = {f"{name}/{number:03}.png" for name in ("cat", "dog") for number in range(6)}
    assert set(done.packed) == {*good, *packed}
    check_nothing_is_lost(done, source)
    assert done.err == ""
    strict = pack_folder(source, tmp_path / "strict", "--max-rejected", "0")
    if not rejected:
        assert strict.code == 0
        assert strict.files.keys() == done.files.keys()
        assert all(strict.files[f"{name}.rec"] == done.files[f"{name}.rec"] for name in ("train", "validation", "test"))
        return done
    check_leaves_nothing(strict, f"error: {len(rejected)} of {len(rejected) + len(done.packed)} images cannot be used")
    first = min(rejected, key=os.fsencode)
    assert " ".join(shown(first).split()) in strict.err
    return done


def size_of(path: Path) -> int:
    """Return what rejected.csv is to say of a path: the size of a file or of what a link leads to, else 0."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header says width x height, with the image data of next to none."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", head) + png_chunk(b"IDAT", zlib.compress(b"\0" * 100)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def jpeg_of(width: int, height: int) -> bytes:
    position = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:position] + struct.pack(">HH", height, width) + JPEG[position + 4 :]


def gif_of(width: int, height: int) -> bytes:
    whole = bytearray(encoded(Image.fromarray(gradient(20, 20)).convert("P"), "GIF"))
    whole[6:10] = struct.pack("<HH", width, height)
    position = whole.index(b",\0\0\0\0", 13 + 3 * 2)
    whole[position + 5 : position + 9] = struct.pack("<HH", width, height)
    return bytes(whole)


def bmp_of(width: int, height: int) -> bytes:
    whole = bytearray(encoded(gradient(20, 20), "BMP"))
    whole[18:26] = struct.pack("<ii", width, height)
    return bytes(whole)


def tiff_of(width: int, height: int) -> bytes:
    whole = bytearray(encoded(gradient(20, 20), "TIFF"))
    (start_,) = struct.unpack_from("<I", whole, 4)
    for entry in range(start_ + 2, start_ + 2 + 12 * struct.unpack_from("<H", whole, start_)[0], 12):
        tag = struct.unpack_from("<H", whole, entry)[0]
        if tag in {0x100, 0x101}:
            struct.pack_into("<HII", whole, entry + 2, 4, 1, width if tag == 0x100 else height)
    return bytes(whole)


def webp_of(width: int, height: int) -> bytes:
    """An extended WebP with a canvas of width x height (24 bits each) around a small lossless image."""
    inner = encoded(gradient(20, 20), "WEBP", lossless=True)[12:]
    head = bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + head + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


MAKERS = {"jpg": jpeg_of, "png": png_of, "gif": gif_of, "bmp": bmp_of, "tif": tiff_of, "webp": webp_of}


def test_files_that_are_no_images(source: Path, tmp_path: Path) -> None:
    bad = {
        "cat/zero.jpg": (b"", "empty file"),
        "cat/text.jpg": (b"hello, this is a text\n", "neither JPEG, PNG"),
        "dog/cut.jpg": (JPEG[: len(JPEG) * 2 // 3], "damaged JPEG"),
        "dog/cut-in-header.jpg": (JPEG[:30], "damaged JPEG"),
        "dog/only-start.jpg": (b"\xff\xd8", "damaged JPEG"),
        "dog/cut.png": (PICTURE[: len(PICTURE) // 2], "damaged PNG"),
        "dog/page.png": (b"<html><body>404</body></html>", "neither JPEG, PNG"),
        "dog/zeros.bmp": (bytes(5000), "neither JPEG, PNG"),
        "dog/archive.webp": (b"PK\x03\x04" + bytes(60), "neither JPEG, PNG"),
    }
    for name, (data, _) in bad.items():
        (source / name).write_bytes(data)
    check(source, tmp_path, rejected={name: reason for name, (_, reason) in bad.items()})


def test_content_decides_not_the_name(source: Path, tmp_path: Path) -> None:
    (source / "cat/really-a-png.jpg").write_bytes(PICTURE)
    (source / "cat/really-a-jpeg.png").write_bytes(JPEG)
    (source / "dog/really-a-gif.JPEG").write_bytes(encoded(gradient(30, 30, seed=5), "GIF"))
    packed = ["cat/really-a-png.jpg", "cat/really-a-jpeg.png", "dog/really-a-gif.JPEG"]
    check(source, tmp_path, rejected={}, packed=packed)


def test_sizes_of_nothing_and_of_one_pixel(source: Path, tmp_path: Path) -> None:
    rejected, packed = {}, []
    for number, (suffix, make) in enumerate(MAKERS.items()):
        if suffix != "webp":  # its sizes begin at 1
            (source / f"cat/empty.{suffix}").write_bytes(make(0, 0))
            rejected[f"cat/empty.{suffix}"] = ""
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
        pixel = np.full((1, 1, 3), 30 * number, np.uint8)
        (source / f"dog/pixel.{suffix}").write_bytes(encoded(pixel, kind))
        packed.append(f"dog/pixel.{suffix}")
    for name, size in (("flat.png", (3000, 1)), ("tall.png", (1, 3000))):
        (source / "dog" / name).write_bytes(encoded(np.arange(9000, dtype=np.uint8).reshape(size[1], size[0], 3)))
        packed.append(f"dog/{name}")
    check(source, tmp_path, rejected=rejected, packed=packed)


def test_a_line_that_would_grow_beyond_all_bounds(source: Path, tmp_path: Path) -> None:
    (source / "dog/line.png").write_bytes(encoded(np.zeros((1, 65_000, 3), np.uint8)))
    check(source, tmp_path, rejected={"dog/line.png": "65000x1"}, options=("--resize", "512"))


MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(code)
"""


def peak_memory(source: Path, out: Path, *arguments: str) -> tuple[Done, int]:
    """Pack and return the largest memory of any of the packer's processes, in bytes."""
    # In between, because a child's peak begins with the memory of the process that started it.
    command = [sys.executable, "-m", "preprocess.folder", str(source), str(out), "--max-rejected", "1", *arguments]
    done = finish(start(["-c", MEASURE, *command]), out)
    assert done.code == 0, done.err
    return done, int(done.out.splitlines()[-1])


@pytest.mark.parametrize("arguments", [("--resize", "16"), (), ("--pass-through",)])
def test_decompression_bombs_take_no_memory(source: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    for suffix, make in MAKERS.items():
        (source / f"cat/bomb.{suffix}").write_bytes(make(HUGE, HUGE))
    done, peak = peak_memory(source, tmp_path / "out", *arguments)
    assert sorted(path for path, _, _ in done.rejected) == sorted(f"cat/bomb.{suffix}" for suffix in MAKERS)
    assert all("60000x60000" in reason or "damaged" in reason for _, reason, _ in done.rejected)
    assert len(done.packed) == 12
    assert peak < MEMORY_LIMIT


def test_bombs_beyond_any_header(source: Path, tmp_path: Path) -> None:
    rejected = {}
    for suffix, side in (
        ("png", 2**31 - 1),
        ("png", 2**32 - 1),
        ("bmp", 2**31 - 1),
        ("bmp", -(2**31)),
        ("tif", 2**32 - 1),
    ):
        name = f"cat/bomb{side}.{suffix}"
        (source / name).write_bytes(MAKERS[suffix](side, side))
        rejected[name] = ""
    check(source, tmp_path, rejected=rejected)


def test_an_animated_gif_is_its_first_frame(source: Path, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (24, 24), color) for color in ("red", "green", "blue")]
    (source / "cat/moving.gif").write_bytes(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    (source / "cat/moving.webp").write_bytes(encoded(frames[1], "WEBP", save_all=True, append_images=frames[:1]))
    done = (
        check(
            source,
            tmp_path,
            rejected={},
            packed=("cat/moving.gif", "cat/moving.webp"),
            options=("--validation-fraction", "0", "--test-fraction", "0"),
        )
        if False
        else pack_folder(source, tmp_path / "out", "--train", "1", "--format", "png")
    )
    assert done.code == 0, done.err
    check_nothing_is_lost(done, source)
    listed = {path: id_ for id_, path in read_list(done.outputs / "train.lst").items()}
    records = list(read_records(done.outputs / "train.rec"))
    for name, bgr in (("cat/moving.gif", (0, 0, 255)), ("cat/moving.webp", (0, 128, 0))):
        pixels = cv2.imdecode(np.frombuffer(records[listed[name]].payload, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(pixels.astype(int) - bgr).max() < 8


def test_corrupt_exif_is_no_reason_to_reject(source: Path, tmp_path: Path) -> None:
    packed = []
    blocks = [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\xff\xff\xff\xff\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\x08\0\0\0",
    ]
    for number, block in enumerate(blocks):
        jpeg = encoded(gradient(40, 30, seed=100 + number), "JPEG")
        segment = b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block
        (source / f"cat/exif{number}.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
        packed.append(f"cat/exif{number}.jpg")
    check(source, tmp_path, rejected={}, packed=packed)


def test_links(source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(PICTURE)
    (source / "cat/loop.jpg").symlink_to("loop.jpg")
    (source / "cat/one.jpg").symlink_to("other.jpg")
    (source / "cat/other.jpg").symlink_to("one.jpg")
    (source / "cat/upwards").symlink_to("..")
    (source / "cat/self").symlink_to(".")
    (source / "cat/broken.png").symlink_to("no-such-file.png")
    (source / "cat/secret.png").symlink_to(outside / "secret.png")
    (source / "cat/relative.png").symlink_to("../../outside/secret.png")
    (source / "zebra").symlink_to(outside)
    (source / "cat/passwd.jpg").symlink_to("/etc/passwd")
    (source / "cat/null.jpg").symlink_to("/dev/null")
    (source / "cat/zero.jpg").symlink_to("/dev/zero")
    (source / "dog/inside.png").symlink_to("../cat/000.png")
    (source / "dog/hard.png").hardlink_to(source / "dog/000.png")
    rejected = {
        "cat/loop.jpg": "broken link",
        "cat/one.jpg": "broken link",
        "cat/other.jpg": "broken link",
        "cat/upwards": "link to a folder",
        "cat/self": "link to a folder",
        "cat/broken.png": "broken link",
        "cat/secret.png": "out of the data folder",
        "cat/relative.png": "out of the data folder",
        "zebra": "out of the data folder",
        "cat/passwd.jpg": "out of the data folder",
        "cat/null.jpg": "out of the data folder",
        "cat/zero.jpg": "out of the data folder",
    }
    done = check(source, tmp_path, rejected=rejected, packed=("dog/inside.png", "dog/hard.png"))
    assert done.dataset["duplicates"]["exact_sets"] == 2
    assert done.dataset["duplicates"]["exact_sets_across_splits"] == 0


def test_links_that_are_no_images_by_their_names_are_ignored(source: Path, tmp_path: Path) -> None:
    (source / "cat/README").symlink_to("no-such-file")
    (source / "notes.txt").symlink_to("/etc/passwd")
    done = pack_folder(source, tmp_path / "out", "--max-rejected", "0")
    assert done.code == 0, done.err
    assert done.dataset["ignored"] == 2


def test_a_data_folder_that_is_a_link_itself(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    (source / "dog/inside.png").symlink_to("../cat/000.png")
    done = pack_folder(tmp_path / "link", tmp_path / "out")
    assert (done.code, len(done.packed)) == (0, 13), done.err


def test_what_is_no_plain_file_does_not_hang(source: Path, tmp_path: Path) -> None:
    os.mkfifo(source / "cat/pipe.jpg")
    (source / "cat/to-pipe.jpg").symlink_to("pipe.jpg")
    os.mkfifo(source / "labels.json")
    os.mkfifo(source / "split.lst")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(source / "dog", os.O_RDONLY)  # a socket's path holds about a hundred bytes
        try:
            server.bind(f"/proc/self/fd/{here}/socket.jpg")
        finally:
            os.close(here)
        rejected = dict.fromkeys(["cat/pipe.jpg", "cat/to-pipe.jpg", "dog/socket.jpg"], "no plain file")
        check(source, tmp_path, rejected=rejected)


def test_a_folder_named_like_an_image(source: Path, tmp_path: Path) -> None:
    (source / "cat/folder.jpg").mkdir()
    (source / "cat/folder.jpg/inner.png").write_bytes(PICTURE)
    (source / "cat/empty.png").mkdir()
    check(source, tmp_path, rejected={}, packed=("cat/folder.jpg/inner.png",))


def without_override() -> None:
    """Take from root, in the child, the right to read what permissions forbid (prctl PR_CAPBSET_DROP)."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


def skip_where_all_is_readable(path: Path) -> None:
    command = [sys.executable, "-c", "import os, sys; sys.exit(os.access(sys.argv[1], os.R_OK))", str(path)]
    if subprocess.run(command, preexec_fn=without_override, check=False).returncode:
        pytest.skip("needs a file system and a user for whom permissions count")


def test_an_unreadable_file(source: Path, tmp_path: Path) -> None:
    (source / "cat/locked.png").write_bytes(PICTURE)
    (source / "cat/locked.png").chmod(0)
    skip_where_all_is_readable(source / "cat/locked.png")
    arguments = ("--max-rejected", "1")
    done = pack_folder(source, tmp_path / "out", *arguments, preexec_fn=without_override)
    assert done.code == 0, done.err
    assert done.rejected == [("cat/locked.png", "cannot be read: Permission denied", len(PICTURE))]
    check_nothing_is_lost(done, source)
    strict = pack_folder(source, tmp_path / "strict", preexec_fn=without_override)
    check_leaves_nothing(strict, "1 of 13 images cannot be used")


def test_an_unreadable_folder_does_not_pass_for_an_empty_one(source: Path, tmp_path: Path) -> None:
    (source / "dog/locked").mkdir()
    (source / "dog/locked").chmod(0)
    skip_where_all_is_readable(source / "dog/locked")
    done = pack_folder(source, tmp_path / "out", preexec_fn=without_override)
    check_leaves_nothing(done, f"{source}/dog/locked cannot be read: Permission denied")


def test_an_output_folder_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o500)
    skip_where_all_is_readable(tmp_path / "out" / "x")
    done = pack_folder(source, tmp_path / "out", preexec_fn=without_override)
    check_leaves_nothing(done, str(tmp_path / "out"))
    (tmp_path / "file").write_text("x")
    done = pack_folder(source, tmp_path / "file")
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert str(tmp_path / "file") in done.err
    assert (tmp_path / "file").read_text() == "x"


ODD_NAMES = [
    "with space.png",
    " leading.png",
    "tab\there.png",
    "line\nbreak.png",
    "return\rhere.png",
    "both\r\nof them.png",
    "smile \U0001f600.png",
    "e\u0301 and \u00e9.png",
    "\u202egnp.png",
    "invalid \udcff\udcfe.png",
    "percent%09%0A%25.png",
    'quote".png',
    "'single'.png",
    "comma,semicolon;.png",
    "=1+1.png",
    "-n.png",
    "back\\slash.png",
    "dollar$HOME`id`.png",
    "\x01\x7f\x1b[31m.png",
    "\u2028\u0085\x0b\x0c\x1c.png",
    "n" * 251 + ".png",
    "UPPER.PNG",
    "upper.png",
    "two..dots.png",
    "*?[x].png",
]


@pytest.mark.parametrize("bad", [False, True])
def test_odd_names_of_files(source: Path, tmp_path: Path, bad: bool) -> None:
    names = [f"cat/{name}" for name in ODD_NAMES]
    for number, name in enumerate(names):
        (source / name).write_bytes(b"no image" if bad else encoded(gradient(30, 31 + number, seed=number)))
    if bad:
        check(source, tmp_path, rejected=dict.fromkeys(names, "neither JPEG"))
    else:
        check(source, tmp_path, rejected={}, packed=names)


@pytest.mark.parametrize("output", ["image", "recordio"])
def test_odd_names_of_folders(make_folder: MakeFolder, tmp_path: Path, output: str) -> None:
    classes = [
        "a b",
        "tab\there",
        "line\nbreak",
        "return\r",
        "smile \U0001f600",
        "bad \udcff",
        "x.jpg",
        "%0A",
        "n" * 255,
    ]
    source = make_folder(**dict.fromkeys(classes, 4))
    done = pack_folder(source, tmp_path / "out", "--output", output)
    assert done.code == 0, done.err
    expected = [
        "a b",
        "tab\\there",
        "line\\nbreak",
        "return\\r",
        "smile \U0001f600",
        "bad \\udcff",
        "x.jpg",
        "%0A",
        "n" * 255,
    ]
    assert done.dataset["classes"] == [name for _, name in sorted(zip(classes, expected, strict=True))]
    assert sum(done.dataset["counts"].values()) == 4 * len(classes)
    if output == "recordio":
        check_nothing_is_lost(done, source)


@pytest.mark.parametrize("output", ["image", "augmented-manifest"])
def test_names_that_leave_no_room_for_a_suffix(source: Path, tmp_path: Path, output: str) -> None:
    (source / "cat" / ("n" * 251 + ".png")).write_bytes(PICTURE)
    (source / "cat/000.png.jpg").mkdir()
    (source / "cat/000.png.jpg/inner.png").write_bytes(encoded(gradient(33, 34, seed=9)))
    done = pack_folder(source, tmp_path / "out", "--output", output, "--s3-uri", "s3://bucket/prefix")
    assert done.code == 0, done.err
    assert sum(done.dataset["counts"].values()) == 14
    assert sum(path.suffix == ".jpg" for path in (tmp_path / "out").rglob("*") if path.is_file()) == 14


def test_folders_that_would_be_shown_alike_are_refused(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(**{"a\tb": 4, "a\\tb": 4})
    check_leaves_nothing(pack_folder(source, tmp_path / "out"), "two classes are called")


def test_names_that_differ_in_case_only(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=4, Cat=4, CAT=4)
    done = pack_folder(source, tmp_path / "out")
    assert done.dataset["classes"] == ["CAT", "Cat", "cat"]
    check_nothing_is_lost(done, source)


def test_deeper_folders_hidden_files_and_strays(source: Path, tmp_path: Path) -> None:
    (source / "cat/deeper/and/deeper").mkdir(parents=True)
    (source / "cat/deeper/and/deeper/x.png").write_bytes(PICTURE)
    (source / "cat/.hidden.png").write_bytes(PICTURE)
    (source / ".git").mkdir()
    (source / ".git/x.png").write_bytes(PICTURE)
    (source / "cat/Thumbs.db").write_bytes(b"x")
    (source / "cat/movie.mp4").write_bytes(b"x")
    (source / "stray.png").write_bytes(PICTURE)
    (source / "cat/photo.heic").write_bytes(b"heic!")
    (source / "empty class").mkdir()
    rejected = {"stray.png": "outside the class folders", "cat/photo.heic": ".heic is not supported"}
    done = check(source, tmp_path, rejected=rejected, packed=("cat/deeper/and/deeper/x.png",))
    assert done.dataset["ignored"] == 4
    assert done.dataset["classes"] == ["cat", "dog"]


def test_one_stray_image_does_not_turn_split_folders_into_classes(make_folder: MakeFolder, tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        make_folder(f"data/{split}", cat=4, dog=4)
    (tmp_path / "data/train/stray.png").write_bytes(PICTURE)
    done = pack_folder(tmp_path / "data", tmp_path / "out", "--max-rejected", "0.5")
    assert done.code == 0, done.err
    assert done.dataset["classes"] == ["cat", "dog"]
    assert [path for path, _, _ in done.rejected] == ["train/stray.png"]


def test_a_very_deep_folder(source: Path, tmp_path: Path) -> None:
    here = os.open(source / "cat", os.O_RDONLY)
    for _ in range(15):  # 15 x 250 bytes: a path of almost the 4,096 bytes that there may be
        os.mkdir("d" * 250, dir_fd=here)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    name = "cat/" + "/".join(["d" * 250] * 15) + "/x.png"
    (source / name).write_bytes(PICTURE)
    check(source, tmp_path, rejected={}, packed=(name,))


@pytest.mark.parametrize("depth", [16, 17, 40])
def test_a_path_longer_than_the_system_takes(source: Path, tmp_path: Path, depth: int) -> None:
    here = os.open(source / "cat", os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 250, dir_fd=here)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    for name in ("x.png", "y" * 200 + ".png"):
        picture = os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=here)
        os.write(picture, PICTURE)
        os.close(picture)
    os.close(here)
    done = pack_folder(source, tmp_path / "out", "--max-rejected", "1")
    # Either each file is accounted for, or the folder that cannot be read is an error, as any such folder.
    if done.code == 0:
        assert len(done.packed) + len(done.rejected) == 14
    else:
        check_leaves_nothing(done, "File name too long")


def test_files_above_the_limit(source: Path, tmp_path: Path) -> None:
    for name, size in (("big", 300 * MIB), ("bigger", 5 * 1024**3), ("biggest", 10 * 1024**4)):
        with (source / f"cat/{name}.jpg").open("wb") as file:
            file.write(JPEG)
            file.truncate(size)
    for number, arguments in enumerate([(), ("--pass-through",)]):
        done, peak = peak_memory(source, tmp_path / f"out{number}", *arguments)
        assert [(path, "limit" in reason) for path, reason, _ in done.rejected] == [
            ("cat/big.jpg", True),
            ("cat/bigger.jpg", True),
            ("cat/biggest.jpg", True),
        ]
        assert [size for _, _, size in done.rejected] == [300 * MIB, 5 * 1024**3, 10 * 1024**4]
        assert len(done.packed) == 12
        assert peak < MEMORY_LIMIT


def test_the_whole_source_is_bad(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "data" / name / f"{number}.jpg").write_bytes(b"x")
    done = pack_folder(tmp_path / "data", tmp_path / "out")
    check_leaves_nothing(done, "error: 20 of 20 images cannot be used")
    assert "cat/0.jpg: neither" in done.err
    assert "and 15 more" in done.err
    allowed = pack_folder(tmp_path / "data", tmp_path / "out", "--max-rejected", "1")
    check_leaves_nothing(allowed, "class 'cat' has 0 usable images")


def test_rejected_up_to_the_share_and_past_it(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = make_folder(cat=97, dog=100)
    (source / "cat/a.jpg").write_bytes(b"x")
    (source / "dog/b.jpg").write_bytes(b"y")
    check_leaves_nothing(
        pack_folder(source, tmp_path / "out"), "2 of 199 images cannot be used, more than a rejected share of 0.01"
    )
    (source / "dog/b.jpg").unlink()
    done = pack_folder(source, tmp_path / "out")
    assert (done.code, len(done.rejected)) == (0, 1), done.err


def test_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    check_leaves_nothing(pack_folder(tmp_path / "empty", tmp_path / "out"), "at least 2 class folders")
    missing = pack_folder(tmp_path / "missing", tmp_path / "never")
    check_leaves_nothing(missing, "does not exist")
    assert not (tmp_path / "never").exists()
    (tmp_path / "file").write_text("x")
    assert pack_folder(tmp_path / "file", tmp_path / "out").err.count("\n") == 1


@pytest.mark.parametrize("inside", [".", "cat", "new/folder", "link"])
def test_an_output_folder_inside_the_source_is_refused(source: Path, tmp_path: Path, inside: str) -> None:
    (tmp_path / "link").symlink_to(source / "cat")
    before = sorted(source.rglob("*"))
    destination = tmp_path / "link" if inside == "link" else source / inside
    done = pack_folder(source, destination)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "choose a folder elsewhere" in done.err
    assert sorted(source.rglob("*")) == before


@pytest.mark.parametrize("output", ["recordio", "image", "augmented-manifest"])
def test_a_source_inside_the_output_folder_survives(make_folder: MakeFolder, tmp_path: Path, output: str) -> None:
    source = make_folder("photos/train", cat=5, dog=5)
    before = sorted(source.rglob("*"))
    pack_folder(source, tmp_path / "photos", "--output", output, "--s3-uri", "s3://bucket/prefix")
    assert [path for path in before if not path.exists()] == []


@pytest.mark.parametrize("output", ["recordio", "image"])
def test_folders_of_somebody_else_in_the_output_survive(source: Path, tmp_path: Path, output: str) -> None:
    for name in ("train", "train.rec", ".packing"):
        (tmp_path / "out" / name).mkdir(parents=True)
        (tmp_path / "out" / name / "thesis.txt").write_text("the only copy")
    (tmp_path / "out/.mine.partial").write_text("the only copy")
    done = pack_folder(source, tmp_path / "out", "--output", output)
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert (tmp_path / "out/train/thesis.txt").is_file()
    assert (tmp_path / "out/train.rec/thesis.txt").is_file()
    assert (tmp_path / "out/.mine.partial").is_file()


def test_the_output_of_an_earlier_run_is_replaced(source: Path, tmp_path: Path) -> None:
    fresh = pack_folder(source, tmp_path / "fresh", "--train", "1")
    for arguments in (("--seed", "3"), ("--output", "image"), ("--train", "1", "--pass-through", "--resize", "0")):
        done = pack_folder(source, tmp_path / "out", *arguments)
        assert done.code == 0, done.err
        done = pack_folder(source, tmp_path / "out", "--train", "1")
        assert done.code == 0, done.err
        assert done.files == fresh.files
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(fresh.files)


# Lists of the user's own.


def with_list(source: Path, rows: str, names: bytes | None = None) -> Path:
    (source / "all.lst").write_bytes(rows.encode(errors="surrogateescape"))
    if names is not None:
        (source / "labels.json").write_bytes(names)
    return source


def good_rows() -> str:
    return "".join(
        f"{number}\t{label}\t{name}/{number:03}.png\n"
        for label, name in enumerate(("cat", "dog"))
        for number in range(6)
    )


def test_a_list_with_paths_that_lead_elsewhere(source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(PICTURE)
    rows = good_rows() + f"20\t0\t{outside}\n21\t0\t../secret.png\n22\t0\tcat/../../secret.png\n23\t1\tdog/none.png\n"
    done = pack_folder(with_list(source, rows), tmp_path / "out", "--max-rejected", "1")
    assert done.code == 0, done.err
    assert {(path, "outside" in reason) for path, reason, _ in done.rejected} == {
        (str(outside), True),
        ("../secret.png", True),
        ("cat/../../secret.png", True),
        ("dog/none.png", False),
    }
    assert len(done.packed) == 12


def test_a_listed_image_is_rejected_once(source: Path, tmp_path: Path) -> None:
    (source / "cat/broken.png").symlink_to("nowhere.png")
    (source / "cat/photo.heic").write_bytes(b"x")
    (source / "cat/bad.jpg").write_bytes(b"x")
    rows = good_rows() + "20\t0\tcat/broken.png\n21\t0\tcat/photo.heic\n22\t0\tcat/bad.jpg\n"
    done = pack_folder(with_list(source, rows), tmp_path / "out", "--max-rejected", "1")
    assert done.code == 0, done.err
    assert [path for path, _, _ in done.rejected] == ["cat/bad.jpg", "cat/broken.png", "cat/photo.heic"]
    check_nothing_is_lost(done, source)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("20\tnan\tcat/000.png", "line 13"),
        ("20\tinf\tcat/000.png", "line 13"),
        ("20\t1e999\tcat/000.png", "line 13"),
        ("20\t1e300\tcat/006.png", "line 13"),
        ("20\t1000000000000\tcat/006.png", "the lists use the labels"),
        ("20\t0.5\tcat/006.png", "the lists use the labels"),
        ("20\t-1\tcat/006.png", "the lists use the labels"),
        ("20\t7\tcat/006.png", "the lists use the labels"),
        ("-1\t0\tcat/006.png", "line 13"),
        ("x\t0\tcat/006.png", "line 13"),
        ("20 0 cat/006.png", "line 13"),
        ("20\t0\t", "line 13"),
        ("20\t0\t1\tcat/006.png", "line 13 has 2 labels"),
        ("20\t0\tcat/000.png", "listed twice"),
        ("\0\0\0\0", "line 13"),
        ("9" * 5000 + "\t0\tcat/006.png", "line 13"),
    ],
)
def test_a_list_with_a_bad_row(make_folder: MakeFolder, tmp_path: Path, row: str, reason: str) -> None:
    source = make_folder(cat=7, dog=6)
    done = pack_folder(with_list(source, good_rows() + row + "\n"), tmp_path / "out", "--max-rejected", "1")
    check_leaves_nothing(done, reason)


def test_a_label_that_no_record_holds(source: Path, tmp_path: Path) -> None:
    rows = good_rows().replace("\t", "\t1e300\t", 1).replace("\n1\t", "\n1\t0\t", 1)
    rows = "".join(f"{number}\t{1e300 if number == 3 else 0.5}\t1\tcat/{number:03}.png\n" for number in range(6))
    done = pack_folder(with_list(source, rows), tmp_path / "out", "--max-rejected", "1")
    check_leaves_nothing(done, "line 4")


def test_a_list_with_equal_ids_gets_ids_of_its_own(source: Path, tmp_path: Path) -> None:
    done = pack_folder(with_list(source, good_rows().replace("5\t", "0\t")), tmp_path / "out")
    assert (done.code, len(done.packed)) == (0, 12), done.err


@pytest.mark.parametrize(
    "names",
    [
        b"",
        b"[",
        b"[" * 100_000,
        b'{"a": ' * 100_000,
        b"[[], []]",
        b'["a"]',
        b'["a", 1]',
        b'["a", null]',
        b"\xff\xfe",
        b"9" * 10_000,
        b"NaN",
        b'["same", "same"]',
    ],
)
def test_names_that_are_none(source: Path, tmp_path: Path, names: bytes) -> None:
    done = pack_folder(with_list(source, good_rows(), names), tmp_path / "out")
    if names == b'["same", "same"]' and done.code == 1:
        assert done.err.count("\n") == 1
        return
    check_leaves_nothing(done, "labels.json" if names != b'["same", "same"]' else "same")


@pytest.mark.parametrize("name", ["labels.json", "all.lst"])
def test_a_huge_side_file_takes_no_memory(source: Path, tmp_path: Path, name: str) -> None:
    with (source / name).open("wb") as file:
        file.truncate(1024**3)
    command = [sys.executable, "-m", "preprocess.folder", str(source), str(tmp_path / "out")]
    done = finish(start(["-c", MEASURE, *command]), tmp_path / "out")
    assert int(done.out.splitlines()[-1]) < MEMORY_LIMIT
    assert done.err.count("\n") == done.code, done.err


# Many files.


@pytest.mark.slow
def test_a_hundred_thousand_files_in_one_folder(tmp_path: Path) -> None:
    total, bad = 100_000, 500
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    start_, end = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head), png_chunk(b"IEND", b"")
    for number in range(total):
        rows = (number.to_bytes(4, "big") * 16)[:64]
        data = b"".join(b"\0" + rows[8 * row : 8 * row + 8] for row in range(8))
        picture = start_ + png_chunk(b"IDAT", zlib.compress(data, 1)) + end
        with open(tmp_path / "data/cat" / f"{number}.png", "wb") as file:  # noqa: PTH123  # several times as fast
            file.write(b"" if number < bad else picture)
    for number in range(10):
        (tmp_path / "data/dog" / f"{number}.png").write_bytes(encoded(gradient(8, 8, seed=number)))
    done, peak = peak_memory(tmp_path / "data", tmp_path / "out", "--pass-through", "--resize", "0")
    assert len(done.rejected) == done.dataset["rejected"] == bad
    assert len(done.packed) == sum(done.dataset["counts"].values()) == total - bad + 10
    assert peak < MEMORY_LIMIT


# Several instances give the same as one.


def fill_with_bad_files(source: Path) -> None:
    (source / "cat/zero.jpg").write_bytes(b"")
    (source / "dog/cut.jpg").write_bytes(JPEG[:-100])
    (source / "dog/text.png").write_bytes(b"text")
    (source / "dog/photo.heic").write_bytes(b"heic")
    (source / "dog/copy.png").write_bytes((source / "dog/001.png").read_bytes())
    (source / "cat/copy.png").write_bytes((source / "dog/002.png").read_bytes())


def fill_with_odd_names(source: Path) -> None:
    for number, name in enumerate(ODD_NAMES):
        (source / "cat" / name).write_bytes(encoded(gradient(30, 31 + number, seed=number)))
        (source / "dog" / name).write_bytes(
            b"bad" if number % 8 == 0 else encoded(gradient(31, 30 + number, seed=number))
        )


def fill_with_strays(source: Path) -> None:
    for number in range(8):
        (source / f"stray{number}.png").write_bytes(encoded(gradient(20, 20, seed=number)))
        (source / f"bad{number}.png").write_bytes(b"bad")
        (source / f"cat/.hidden{number}").write_bytes(b"x")
    (source / "cat/deeper").mkdir()
    for number in range(6):
        (source / f"cat/deeper/{number}.png").write_bytes(encoded(gradient(22, 30, seed=200 + number)))


def fill_with_lists(source: Path) -> None:
    (source / "cat/unlisted.png").write_bytes(PICTURE)
    (source / "cat/unlisted-and-bad.png").write_bytes(b"bad")
    (source / "dog/bad.png").write_bytes(b"bad")
    with_list(source, good_rows() + "20\t1\tdog/bad.png\n21\t1\tdog/none.png\n22\t0\t/etc/passwd\n", b'["a", "b"]')


def fill_with_a_list_across_folders(source: Path) -> None:
    """Both labels in both folders, unevenly."""
    rows = [f"{number}\t{int(number < 4)}\tcat/{number:03}.png\n" for number in range(6)]
    rows += [f"{number}\t{int(number < 1)}\tdog/{number:03}.png\n" for number in range(6)]
    with_list(source, "".join(rows))


@pytest.mark.parametrize("sample", ["0", "4"])
@pytest.mark.parametrize(
    "fill",
    [fill_with_bad_files, fill_with_odd_names, fill_with_strays, fill_with_lists, fill_with_a_list_across_folders],
)
def test_three_instances_give_what_one_gives(
    source: Path, tmp_path: Path, fill: Callable[[Path], None], sample: str
) -> None:
    fill(source)
    arguments = ("--max-rejected-fraction", "1", "--images-per-class", sample)
    one = pack_container(source, tmp_path / "one", *arguments)
    assert one.code == 0, one.err
    if sample == "0":
        names = {path for path, _, _ in one.rejected}
        assert {shown(path) for path in one.packed}.isdisjoint(names)
    three = pack_scaled_out(source, tmp_path / "three", *arguments)
    assert three.code == 0, three.err
    assert three.rejected == one.rejected
    assert three.dataset == one.dataset
    assert three.files == one.files


def test_three_instances_pass_files_through_as_one_does(source: Path, tmp_path: Path) -> None:
    fill_with_bad_files(source)
    for path in sorted(source.rglob("0*.png")):
        path.write_bytes(encoded(gradient(16, 16, seed=len(path.read_bytes()) + int(path.stem))))
    arguments = ("--max-rejected-fraction", "1", "--pass-through", "true")
    one = pack_container(source, tmp_path / "one", *arguments)
    three = pack_scaled_out(source, tmp_path / "three", *arguments)
    assert (one.code, three.code) == (0, 0), one.err + three.err
    assert three.files == one.files


def test_records_of_a_hostile_folder_are_read_back(source: Path, tmp_path: Path) -> None:
    fill_with_bad_files(source)
    fill_with_odd_names(source)
    done = pack_folder(
        source, tmp_path / "out", "--max-rejected", "1", "--format", "png", "--resize", "0", "--train", "1"
    )
    assert done.code == 0, done.err
    listed = read_list(done.outputs / "train.lst")
    for record in read_records(done.outputs / "train.rec"):
        path = source / listed[record.header.id]
        expected = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert np.array_equal(cv2.imdecode(np.frombuffer(record.payload, np.uint8), cv2.IMREAD_COLOR), expected)
        assert record.header.label == ["cat", "dog"].index(listed[record.header.id].split("/")[0])
    damaged = tmp_path / "damaged.rec"
    damaged.write_bytes((done.outputs / "train.rec").read_bytes()[:-5])
    with pytest.raises(ContainerError, match="cut off"):
        list(read_records(damaged))
