"""What is fuzzed: how the input with a number is made, and what must hold for any input."""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import os
import random
import re
import signal
import struct
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

from common import lists
from common.contract import ContainerError
from common.recordio import MAGIC_BYTES, Header, RecordWriter, decode, read_records
from fuzz import corpus
from fuzz.mutations import mutate
from preprocess.decode import read_image
from preprocess.encode import encode_image
from preprocess.errors import UnreadableImage
from preprocess.fingerprint import difference_hash
from preprocess.pass_through import fits, pixel_key

Pixels = npt.NDArray[np.uint8]
Crop = Literal["none", "square"]
CROPS: tuple[Crop, ...] = ("none", "square")

SHORT_SIDES, SHORT_SIDE_WEIGHTS = (0, 8, 24, 32, 224, 1000, 4096), (30, 10, 20, 20, 10, 2, 0.3)
KEY_BYTES = 16
JPEG_START = b"\xff\xd8"
# Larger pictures are decoded once only, for speed.
THOROUGH_SAMPLES, COMPARED_SAMPLES = 1 << 20, 1 << 24
# Two decodings by libjpeg-turbo of one file; more is another picture.
SAME_PICTURE = 1.5
# mallopt's name for "fill allocated and freed memory with this byte": glibc, malloc.h.
M_PERTURB = -6


@dataclass(frozen=True)
class Options:
    """How an image is asked for."""

    short_side: int = 24
    crop: Crop = "none"
    convert_icc: bool = False


class Wrong(AssertionError):
    """Something that must hold for any input does not."""


class Target(Protocol):
    """One thing to fuzz."""

    name: str
    seconds_per_input: float  # of CPU time; more is a hang
    accepted: str
    refused: str

    def make(self, seed: int, number: int) -> bytes:
        """Return input ``number`` of the endless sequence that ``seed`` names; the same in every run."""

    def check(self, data: bytes, seed: int, number: int) -> tuple[int, int]:
        """Try one input; how many were accepted and refused. Any exception is a finding."""

    def replay(self, data: bytes) -> None:
        """Try one saved input in all ways."""


def generator(seed: int, number: int) -> random.Random:
    """Return the source of chance of input ``number``."""
    return random.Random(f"{seed}/{number}")


def demand(condition: object, what: str) -> None:
    """Raise Wrong unless ``condition`` holds; assert would vanish under python -O."""
    if not condition:
        raise Wrong(what)


class Decoder:
    """The way of one file through decoder, encoder, fingerprint and pass-through."""

    name = "decoder"
    seconds_per_input = 20.0
    accepted, refused = "decoded", "rejected"

    def make(self, seed: int, number: int) -> bytes:
        """Return the seeds themselves first, then damaged ones."""
        if number < len(corpus.seeds()):
            return corpus.seeds()[number].data
        chance = generator(seed, number)
        kind = chance.choice(sorted(corpus.by_kind()))
        family = corpus.by_kind()[kind]
        return mutate(chance, chance.choice(family).data, [seed.data for seed in family])

    def check(self, data: bytes, seed: int, number: int) -> tuple[int, int]:
        """Try with options that the number decides; an undamaged seed has to come out in its size."""
        if number < len(corpus.seeds()):
            return self._check_seed(corpus.seeds()[number])
        chance = generator(-seed - 1, number)
        options = Options(
            short_side=chance.choices(SHORT_SIDES, SHORT_SIDE_WEIGHTS)[0],
            crop=chance.choice((*CROPS, "none")),
            convert_icc=chance.random() < 0.3,
        )
        decoded = check_image(data, options, thorough=chance.random() < 0.25)
        return int(decoded), int(not decoded)

    def replay(self, data: bytes) -> None:
        """Try every combination of options."""
        for short_side, crop, convert_icc in itertools.product(SHORT_SIDES, CROPS, (False, True)):
            check_image(data, Options(short_side, crop, convert_icc), thorough=True)

    def _check_seed(self, seed: corpus.Seed) -> tuple[int, int]:
        decoded = check_image(seed.data, Options(short_side=0), thorough=True)
        if seed.size is not None:
            demand(decoded, f"{seed.kind} {seed.name} is refused, and nothing is wrong with it")
            height, width = read_image(seed.data, short_side=0).shape[:2]
            demand((width, height) == seed.size, f"{seed.kind} {seed.name} came out as {width}x{height}")
            check_image(seed.data, Options(short_side=24, crop="square", convert_icc=True), thorough=True)
        return int(decoded), int(not decoded)


class Bombs(Decoder):
    """Small files that unpack to gigabytes, from a folder; the memory limit is the check."""

    name = "bombs"

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.glob("*.bin"))

    def make(self, seed: int, number: int) -> bytes:
        """Return the bombs one after another."""
        return self._paths[number % len(self._paths)].read_bytes()

    def check(self, data: bytes, seed: int, number: int) -> tuple[int, int]:
        """Try with the settings of a pipeline, and keeping the size."""
        options = Options(224, "square", True) if number // len(self._paths) % 2 == 0 else Options(0)
        decoded = check_image(data, options, thorough=False)
        return int(decoded), int(not decoded)


class Failing:
    """Fails in every way, to show that the fuzzer sees it."""

    name = "failing"
    seconds_per_input = 2.0
    accepted, refused = "fine", "refused"

    def make(self, seed: int, number: int) -> bytes:
        """Return the number as text."""
        return str(number).encode()

    def replay(self, data: bytes) -> None:
        """Fail again."""
        self.check(data, 0, int(data))

    def check(self, data: bytes, seed: int, number: int) -> tuple[int, int]:
        """Die, hang, raise, and ask for too much memory, once each."""
        if number == 3:
            os.kill(os.getpid(), signal.SIGSEGV)
        elif number == 5:
            while True:
                pass
        elif number == 7:
            demand(False, "seven")
        elif number == 9:
            bytearray(4 << 30)
        time.sleep(0.001)
        return 1, 0


class Records:
    """The readers of .rec and .lst files."""

    name = "readers"
    seconds_per_input = 20.0
    accepted, refused = "read", "refused"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-readers-")

    def make(self, seed: int, number: int) -> bytes:
        """Return a damaged file: records for even numbers, a list for odd ones."""
        chance = generator(seed, number)
        kinds = self._list if number % 2 else self._records
        return _damaged(chance, kinds(chance), [kinds(chance)], words=number % 2 == 0)

    def check(self, data: bytes, seed: int, number: int) -> tuple[int, int]:
        """Read it as what it was."""
        fine = self._check_list(data) if number % 2 else self._check_records(data)
        return int(fine), int(not fine)

    def replay(self, data: bytes) -> None:
        """Read it as both."""
        self._check_list(data)
        self._check_records(data)

    def _records(self, chance: random.Random) -> bytes:
        path = Path(self._folder.name, "made.rec")
        with path.open("wb") as file:
            writer = RecordWriter(file)
            for id_ in range(chance.randrange(5)):
                labels = tuple(float(n) for n in range(chance.choice((1, 1, 1, 2, 8))))
                writer.write(Header(labels, id_), magic_payload(chance))
        return path.read_bytes()

    def _list(self, chance: random.Random) -> bytes:
        width = chance.choice((1, 1, 1, 2, 8))
        names = ("a/1.jpg", "größe/ä b.png", "x\ty", "new\nline", "100%09", "%", "\udcff.jpg", "\U0001f600.gif")
        rows = [(id_, [chance.random()] * width, chance.choice(names)) for id_ in range(chance.randrange(6))]
        return lists.list_bytes(rows)

    def _check_records(self, data: bytes) -> bool:
        path = Path(self._folder.name, "x.rec")
        path.write_bytes(data)
        found, refusal = [], None
        try:
            for record in read_records(path):
                demand(data.startswith(MAGIC_BYTES, record.offset), f"no record starts at {record.offset}")
                found.append(record)
        except ContainerError as error:
            refusal = str(error)
        if refusal is not None:
            _demand_line(refusal)
            named = re.search(r"at byte (\d+)", refusal)
            demand(named and int(named[1]) <= len(data), f"names no byte of the file: {refusal}")
        again = Path(self._folder.name, "again.rec")
        with again.open("wb") as file:
            writer = RecordWriter(file)
            for record in found:
                writer.write(record.header, record.payload)
        demand([_bits(r.header) for r in read_records(again)] == [_bits(r.header) for r in found], "headers changed")
        demand([r.payload for r in read_records(again)] == [r.payload for r in found], "payloads changed")
        try:
            decode(data)
        except ValueError as error:
            _demand_line(str(error))
        return refusal is None

    def _check_list(self, data: bytes) -> bool:
        path = Path(self._folder.name, "x.lst")
        path.write_bytes(data)
        try:
            rows = lists.read_rows(path)
            lists.read_list(path)
        except ContainerError as error:
            _demand_line(str(error))
            demand(re.search(r"line \d+", str(error)), f"names no line: {error}")
            return False
        demand(all(math.isfinite(label) for row in rows for label in row.labels), "a label is no number")
        path.write_bytes(lists.list_bytes((row.id, row.labels, lists.unescape_path(row.path)) for row in rows))
        again = lists.read_rows(path)
        ours = [lists.unescape_path(row.path) for row in rows]
        demand([lists.unescape_path(row.path) for row in again] == ours, "paths changed")
        demand([row.id for row in again] == [row.id for row in rows], "ids changed")
        return True


def magic_payload(chance: random.Random) -> bytes:
    """Return a payload with the magic word in many places, aligned or not."""
    words = (MAGIC_BYTES, MAGIC_BYTES, MAGIC_BYTES[:3], MAGIC_BYTES[1:], b"\0", b"ab", bytes(9))
    return b"".join(chance.choices(words, k=chance.randrange(12)))


def _damaged(chance: random.Random, data: bytes, others: Sequence[bytes], *, words: bool) -> bytes:
    """Damage a file that has no magic known to ``mutate``: in general, and in 4-byte words."""
    data = mutate(chance, data, others)
    if words and len(data) >= 4 and chance.random() < 0.6:
        place = chance.randrange(len(data) // 4) * 4
        value = chance.choice((0, 1 << 29, 2 << 29, 3 << 29, 4 << 29, (1 << 29) - 1, 2**32 - 1, len(data), 23, 24))
        data = data[:place] + struct.pack("<I", value) + data[place + 4 :]
    return data


def _bits(header: Header) -> bytes:
    """Return a header's numbers as bits, which are equal for NaN too."""
    return struct.pack(f"<{len(header.labels)}dQQ", *header.labels, header.id, header.id2)


def check_image(data: bytes, options: Options, *, thorough: bool) -> bool:
    """Demand all that must hold for ``data``; return whether it could be decoded."""
    demand(len(pixel_key(data)) == KEY_BYTES, "the pixel key has another length")
    fitting = fits(data, short_side=options.short_side, crop=options.crop, convert_icc=options.convert_icc)
    demand(isinstance(fitting, bool), f"fits returned {fitting!r}")
    try:
        pixels = _read(data, options)
    except UnreadableImage as error:
        _demand_line(str(error))
        demand(not fitting or "limit" not in str(error), f"fits takes what is too large: {error}")
        # fits does not look at a JPEG's image data, so it cannot tell this.
        demand(not fitting or data.startswith(JPEG_START), f"fits takes what read_image refuses: {error}")
        return False
    _check_size(pixels, options)
    demand(0 <= difference_hash(pixels) < 2**64, "the difference hash has more than 64 bits")
    if fitting:
        _check_fitting(data, pixels)
    if thorough and pixels.size <= THOROUGH_SAMPLES:
        _check_repeatable(data, pixels, options)
        _check_encoded(pixels)
    return True


def _read(data: bytes, options: Options) -> Pixels:
    return read_image(data, short_side=options.short_side, crop=options.crop, convert_icc=options.convert_icc)


def _check_size(pixels: Pixels, options: Options) -> None:
    demand(type(pixels) is np.ndarray and pixels.dtype == np.uint8, f"pixels are {type(pixels)}")
    demand(pixels.ndim == 3 and pixels.shape[2] == 3, f"the shape is {pixels.shape}")
    demand(pixels.flags.c_contiguous, "the pixels are not contiguous")
    height, width = pixels.shape[:2]
    demand(min(height, width) == (options.short_side or min(height, width)) > 0, f"the size is {width}x{height}")
    demand(options.crop != "square" or height == width, f"{width}x{height} is no square")


def _check_fitting(data: bytes, pixels: Pixels) -> None:
    """What may be a record unchanged has to look the same to OpenCV, which reads the records in training."""
    seen = _opencv(data)
    if seen is None:
        demand(data.startswith(JPEG_START), "fits takes what OpenCV cannot decode")
        return
    demand(seen.shape == pixels.shape, f"OpenCV gives {seen.shape}, read_image {pixels.shape}")
    if pixels.size > COMPARED_SAMPLES:
        return
    difference = float(np.abs(seen[:, :, ::-1].astype(np.int16) - pixels).mean())
    demand(difference < SAME_PICTURE, f"OpenCV's picture differs from read_image's by {difference:.1f} on average")


def _opencv(data: bytes) -> Pixels | None:
    """Return BGR as a reader of records sees it."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)  # type: ignore[return-value]


def _check_repeatable(data: bytes, pixels: Pixels, options: Options) -> None:
    """Pixels that were never written show when fresh memory holds something else."""
    kept = pixels.copy()
    for value in (0x55, 0xAA):
        _fill_fresh_memory(value)
        demand(np.array_equal(_read(data, options), kept), "decoding it again gives other pixels")
        _read(_another_jpeg(), Options(8))
        demand(np.array_equal(pixels, kept), "the pixels change when another image is decoded")
    _fill_fresh_memory(0)
    if options.short_side and options.crop == "none":
        _check_aspect(data, pixels, options)


@functools.cache
def _another_jpeg() -> bytes:
    """Return a JPEG that is decoded into more memory than most images here."""
    return corpus.saved(corpus.picture(400, 300), "JPEG")


def _check_aspect(data: bytes, pixels: Pixels, options: Options) -> None:
    try:
        height, width = _read(data, Options(0, "none", options.convert_icc)).shape[:2]
    except UnreadableImage as error:  # a long image may fit once it is scaled down
        demand("too long" in str(error), f"it cannot be read in its own size: {error}")
        return
    wanted = max(height, width) * options.short_side / min(height, width)
    demand(abs(max(pixels.shape[:2]) - wanted) <= 1, f"{width}x{height} became {pixels.shape}")


def _fill_fresh_memory(value: int) -> None:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_PERTURB, value)


def _check_encoded(pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    jpeg = encode_image(pixels, record_format="jpg", quality=90)
    demand(simplejpeg.decode_jpeg_header(jpeg)[:2] == (height, width), "the JPEG has another size")
    encoded = encode_image(pixels, record_format="png", quality=90)
    demand(np.array_equal(read_image(encoded, short_side=0), pixels), "the PNG holds other pixels")


def _demand_line(reason: str) -> None:
    demand(reason.strip() and len(reason.splitlines()) == 1, f"the reason is not one line: {reason!r}")
    demand(len(reason) < 1000, f"the reason is {len(reason)} characters long: {reason[:80]!r}")
