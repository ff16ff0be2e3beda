"""Damage to files that knows their structure: pieces, length and dimension fields, checksums, magic numbers."""

from __future__ import annotations

import itertools
import random
import struct
import zlib
from collections.abc import Callable, Sequence

from fuzz.handmade import PNG_MAGIC, TIFF_TYPE_SIZES, chunks_of_png

Field = tuple[int, int, str]  # offset, size in bytes, byte order of struct
Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

EXTREMES = (0, 1, 2, 3, 7, 8, 9, 127, 128, 255, 256, 4095, 8192, 32_767, 32_768, 65_500, 65_535, 65_536, 1_000_000)
HUGE = (2**24, 2**28, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
MAGICS = (b"\xff\xd8\xff", PNG_MAGIC, b"GIF87a", b"GIF89a", b"RIFF\x10\0\0\0WEBP", b"BM", b"II*\0", b"MM\0*", b"II+\0")
MAX_MUTATIONS = 5
MAX_BYTES = 200_000
JPEG_BARE = frozenset({0x01, *range(0xD0, 0xDA)})
LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def mutate(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Return ``data`` with a few changes; ``others`` are files of its kind that pieces may come from."""
    for _ in range(min(MAX_MUTATIONS, 1 + int(generator.expovariate(0.9)))):
        data = generator.choices(MUTATIONS, WEIGHTS)[0](generator, data, others)[:MAX_BYTES]
    # Without right checksums and sizes most damage would be turned down at the door.
    return repaired(data) if generator.random() < 0.8 else data


def repaired(data: bytes) -> bytes:
    """Return a PNG with right checksums, a RIFF file with the right size, anything else as it is."""
    if data.startswith(PNG_MAGIC):
        magic, *chunks, rest = chunks_of_png(data)
        summed = [chunk[:-4] + struct.pack(">I", zlib.crc32(chunk[4:-4])) for chunk in chunks]
        return b"".join([magic, *summed, rest])
    if data.startswith(b"RIFF"):
        return data[:4] + struct.pack("<I", max(len(data) - 8, 0) & 0xFFFFFFFF) + data[8:]
    return data


def pieces(data: bytes) -> list[bytes]:
    """Cut a file into its header, segments, chunks or blocks, by its magic; joined they are the file again."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg_pieces(data)
    if data.startswith(PNG_MAGIC):
        return chunks_of_png(data)
    if data.startswith(b"RIFF"):
        return _riff_pieces(data)
    if data.startswith(b"GIF8"):
        return _gif_pieces(data)
    return [data[start : start + 12] for start in range(0, len(data), 12)]  # a TIFF entry's size


def fields(data: bytes) -> list[Field]:
    """Return where a file's lengths, counts, dimensions and kinds stand."""
    for magics, finder in FIELD_FINDERS.items():
        if data.startswith(magics):
            return finder(data)
    return []


def _at(order: str, size: int, offsets: Sequence[int]) -> list[Field]:
    return [(offset, size, order) for offset in offsets]


def _jpeg_starts(data: bytes) -> list[int]:
    """Return where the markers of a JPEG stand, those between and behind its scans too."""
    starts, position = [], 2
    while 0 <= (position := data.find(b"\xff", position)) < len(data) - 3:
        code = data[position + 1]
        if code in {0, 0xFF}:
            position += 1
            continue
        starts.append(position)
        position += 2 if code in JPEG_BARE else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return starts


def _jpeg_pieces(data: bytes) -> list[bytes]:
    bounds = [0, *_jpeg_starts(data), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def _jpeg_fields(data: bytes) -> list[Field]:
    found: list[Field] = []
    for start in _jpeg_starts(data):
        code = data[start + 1]
        if code in JPEG_BARE:
            continue
        found += _at(">", 2, (start + 2,))
        found += _at(">", 1, (start + 1, start + 4))
        if 0xC0 <= code <= 0xCF and code not in {0xC4, 0xC8, 0xCC}:
            found += _at(">", 2, (start + 5, start + 7)) * 3
            found += _at(">", 1, range(start + 9, start + 19))
        elif code == 0xDA:
            found += _at(">", 1, range(start + 5, start + 14))
        elif code == 0xE1:
            found += _embedded(data, data.find(b"Exif\0\0", start, start + 12) + 6)
    return found


def _embedded(data: bytes, start: int) -> list[Field]:
    """Return the fields of a TIFF structure, as EXIF is one, inside another file."""
    if start < 8:
        return []
    return [(start + offset, size, order) for offset, size, order in _tiff_fields(data[start : start + 4096])]


def _png_fields(data: bytes) -> list[Field]:
    found, position = _at(">", 4, (16, 20)) * 2 + _at(">", 1, (24, 25, 26, 27, 28)) * 2, 8
    for chunk in chunks_of_png(data)[1:-1]:
        found += _at(">", 4, (position, position + 4))
        if chunk[4:8] == b"eXIf":
            found += _embedded(data, position + 8)
        elif chunk[4:8] in {b"acTL", b"fcTL"}:
            found += _at(">", 4, range(position + 8, position + len(chunk) - 6, 4))
        position += len(chunk)
    return found


def _riff_pieces(data: bytes) -> list[bytes]:
    found, position = [data[:12]], 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + 8 + length + length % 2
        found.append(data[position:end])
        position = end
    return [*found, data[position:]]


def _riff_fields(data: bytes) -> list[Field]:
    found, position = _at("<", 4, (4,)), 12
    for chunk in _riff_pieces(data)[1:-1]:
        found += _at("<", 4, (position, position + 4))
        # VP8X: flags and 3-byte sizes; VP8: sizes at 14; VP8L: sizes packed behind the signature; ANMF: frame.
        found += _at("<", 2, range(position + 8, position + min(len(chunk), 32) - 1, 2))
        if chunk.startswith(b"EXIF"):
            found += _embedded(data, position + 8)
        position += len(chunk)
    return found


def _gif_blocks(data: bytes) -> list[int]:
    """Return where the blocks of a GIF start."""
    flags = data[10] if len(data) > 10 else 0
    position, starts = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0), []
    while position + 10 < len(data) and data[position] in {0x21, 0x2C}:
        starts.append(position)
        if data[position] == 0x21:
            position += 2
        else:
            local = data[position + 9]
            position += 11 + (3 << (local & 7) + 1 if local & 0x80 else 0)
        while position < len(data) and data[position]:
            position += data[position] + 1
        position += 1
    return [*starts, position]


def _gif_pieces(data: bytes) -> list[bytes]:
    bounds = [0, *_gif_blocks(data), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def _gif_fields(data: bytes) -> list[Field]:
    found = [*_at("<", 2, (6, 8)), *_at("<", 1, (10, 11, 12))]
    for start in _gif_blocks(data):
        if data[start : start + 1] == b"\x2c":
            found += _at("<", 2, (start + 1, start + 3, start + 5, start + 7)) + _at("<", 1, (start + 9, start + 10))
        else:
            found += _at("<", 1, range(start, start + 5))
    return found


def _bmp_fields(data: bytes) -> list[Field]:
    return [*_at("<", 4, (2, 10, 14, 18, 22, 30, 34, 46, 50)), *_at("<", 2, (18, 20, 26, 28))]


def _tiff_fields(data: bytes) -> list[Field]:
    """Return the fields of the directories of a TIFF: tags, types, counts and values; entry counts, next offsets."""
    order = "<" if data[:2] == b"II" else ">"
    if len(data) < 16:
        return []
    big = data[2:4] in {b"+\0", b"\0+"}
    word, entry_size, count_size = (8, 20, 8) if big else (4, 12, 2)
    found, seen = _at(order, word, (8 if big else 4,)), set[int]()
    position: int = struct.unpack_from(order + LETTERS[word], data, 8 if big else 4)[0]
    while 0 < position < len(data) - count_size and position not in seen and len(seen) < 4:
        seen.add(position)
        (count,) = struct.unpack_from(order + LETTERS[count_size], data, position)
        found += _at(order, count_size, (position,))
        for start in range(position + count_size, position + count_size + entry_size * min(count, 40), entry_size):
            found += _at(order, 2, (start, start + 2))
            found += _at(order, word, (start + 4, start + 4 + word))
            found += _tiff_value(data, start, order, word)
        position += count_size + entry_size * count
        if position + word > len(data):
            break
        found += _at(order, word, (position,))
        (position,) = struct.unpack_from(order + LETTERS[word], data, position)
    return found


def _tiff_value(data: bytes, start: int, order: str, word: int) -> list[Field]:
    """Return the numbers of one entry: twice as likely as the rest, since dimensions and offsets are among them."""
    if start + 4 + 2 * word > len(data):
        return []
    (kind,) = struct.unpack_from(order + "H", data, start + 2)
    (count,) = struct.unpack_from(order + LETTERS[word], data, start + 4)
    size = TIFF_TYPE_SIZES.get(kind, 4)
    place = start + 4 + word
    if size * count > word:
        (place,) = struct.unpack_from(order + LETTERS[word], data, place)
    return _at(order, size, range(place, place + size * min(count, 4), size)) * 2


FIELD_FINDERS: dict[tuple[bytes, ...], Callable[[bytes], list[Field]]] = {
    (b"\xff\xd8",): _jpeg_fields,
    (PNG_MAGIC,): _png_fields,
    (b"RIFF",): _riff_fields,
    (b"GIF8",): _gif_fields,
    (b"BM",): _bmp_fields,
    (b"II", b"MM"): _tiff_fields,
}


def _set_field(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    inside = [field for field in fields(data) if field[0] + field[1] <= len(data)]
    if not inside:
        return _flip_bits(generator, data, others)
    offset, size, order = generator.choice(inside)
    code = order + LETTERS[size]
    (value,) = struct.unpack_from(code, data, offset)
    wanted = generator.choice(
        (
            generator.choice(EXTREMES),
            generator.choice(EXTREMES),
            generator.choice(HUGE),
            value + generator.choice((-2, -1, 1, 2)),
            value * generator.choice((2, 3, 8, 256)),
            value ^ (1 << generator.randrange(8 * size)),
            len(data) + generator.choice((-1, 0, 1)),
        )
    )
    return data[:offset] + struct.pack(code, wanted & ((1 << 8 * size) - 1)) + data[offset + size :]


def _flip_bits(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 8, 40)) if changed else 0):
        changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
    return bytes(changed)


def _set_bytes(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(generator, data, 16)
    value = generator.choice((0, 255, generator.randrange(256)))
    return data[:start] + bytes((value,)) * (end - start) + data[end:]


def _truncate(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data[: generator.choice((generator.randrange(len(data) + 1), len(data) - min(len(data), 2)))]


def _append(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    return data + generator.choice(
        (generator.randbytes(generator.randrange(64)), data, generator.choice(others), bytes(9))
    )


def _delete(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(generator, data, 256)
    return data[:start] + data[end:]


def _repeat(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    start, end = _span(generator, data, 256)
    return data[:end] + data[start:end] * generator.choice((1, 1, 2, 30)) + data[end:]


def _splice(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = generator.choice(others)
    place = generator.randrange(min(len(data), len(other)) + 1)
    return data[:place] + other[generator.choice((place, generator.randrange(len(other) + 1))) :]


def _pieces(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Delete, double, move, empty or take over a piece."""
    parts = pieces(data) or [b""]
    place, target = generator.randrange(len(parts)), generator.randrange(len(parts))
    action = generator.randrange(6)
    if action == 0:
        del parts[place]
    elif action == 1:
        parts[place:place] = [parts[place]] * generator.choice((1, 1, 2, 100))
    elif action == 2:
        parts[place], parts[target] = parts[target], parts[place]
    elif action == 3:
        parts[place] = _flip_bits(generator, parts[place], others)
    else:
        foreign = pieces(generator.choice(others)) or [b""]
        parts[place : place + (action == 4)] = [generator.choice(foreign)]
    return b"".join(parts)


def _magic(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    magic = generator.choice(MAGICS)
    return magic + data[generator.choice((0, len(magic))) :]


def _pixels(generator: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change a PNG's rows beneath their compression; bits of anything else."""
    parts = pieces(data) if data.startswith(PNG_MAGIC) else []
    packed = b"".join(part[8:-4] for part in parts if part[4:8] == b"IDAT")
    try:
        rows = zlib.decompressobj().decompress(packed, MAX_BYTES)
    except zlib.error:
        rows = b""
    if not rows:
        return _flip_bits(generator, data, others)
    changed = generator.choice((_set_bytes, _truncate, _append, _delete))(generator, rows, others)
    content = b"IDAT" + zlib.compress(changed, 1)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    first = next(number for number, part in enumerate(parts) if part[4:8] == b"IDAT")
    kept = [part for part in parts if part[4:8] != b"IDAT"]
    return b"".join([*kept[:first], chunk, *kept[first:]])


def _span(generator: random.Random, data: bytes, longest: int) -> tuple[int, int]:
    start = generator.randrange(len(data) + 1)
    return start, min(len(data), start + generator.randint(1, longest))


MUTATIONS: tuple[Mutation, ...] = (
    *(_set_field, _flip_bits, _set_bytes, _truncate, _append, _delete, _repeat, _splice, _pieces, _magic, _pixels),
)
WEIGHTS = (30, 12, 8, 8, 4, 5, 5, 6, 16, 2, 4)
