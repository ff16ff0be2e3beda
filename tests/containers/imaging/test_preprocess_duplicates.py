"""Duplicates: equal images never straddle two splits, images that look alike are reported, others are not."""

import csv
import io
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pictures import Pixels, encoded, noisy, settings
from PIL import Image

from common.lists import read_list
from preprocess.duplicates import NEAR_BITS, Union, exact_sets, find_duplicates, joined
from preprocess.layout import Layout
from preprocess.pack import pack
from preprocess.pool import Entry
from preprocess.settings import SPLITS

Files = dict[str, bytes]
Pairs = Callable[[int], tuple[tuple[str, bytes], tuple[str, bytes]]]


def write(folder: Path, files: Files) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


class Packed:
    """What packing some files gave."""

    def __init__(self, folder: Path, files: Files, **changes: object) -> None:
        write(folder / "data", files)
        self._out = folder / "out"
        self.dataset: dict[str, Any] = pack(folder / "data", Layout(root=self._out, flat=True), settings(**changes))
        self.duplicates: dict[str, int | None] = self.dataset["duplicates"]
        self.split_of = {path: split for split in SPLITS for path in read_list(self._out / f"{split}.lst").values()}

    def rows(self, kind: str) -> list[list[str]]:
        """Return the sets of paths of one kind in duplicates.csv."""
        sets = defaultdict(list)
        with (self._out / "duplicates.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                assert row["split"] == self.split_of[row["path"]]
                assert row["label"] == row["path"].split("/")[0]
                if row["kind"] == kind:
                    sets[row["set"]].append(row["path"])
        return sorted(sorted(paths) for paths in sets.values())

    def straddling(self, sets: Sequence[Sequence[str]]) -> int:
        return sum(len({self.split_of[path] for path in paths}) > 1 for paths in sets)


def others(count: int = 30) -> Files:
    """Return pictures of two classes that are nobody's duplicates."""
    return {
        f"{name}/{n:02}.png": encoded(noisy(20, 18, seed=n + 100 * (name == "dog")))
        for name in ("cat", "dog")
        for n in range(count)
    }


def same_bytes(number: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    data = encoded(noisy(16, 16, seed=1000 + number))
    return ("png", data), ("png", data)


def png_and_bmp(number: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    pixels = noisy(16, 16, seed=1000 + number)
    return ("png", encoded(pixels)), ("bmp", encoded(pixels, "BMP"))


def other_comment(number: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    pixels = noisy(16, 16, seed=1000 + number)
    return ("jpg", encoded(pixels, "JPEG")), ("jpg", encoded(pixels, "JPEG", comment=f"no. {number}".encode()))


def other_metadata(number: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    pixels = noisy(16, 16, seed=1000 + number)
    return ("jpg", encoded(pixels, "JPEG")), ("jpeg", encoded(pixels, "JPEG", exif=exif))


def opaque_alpha(number: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    image = Image.fromarray(noisy(16, 16, seed=1000 + number))
    return ("png", encoded(image)), ("png", encoded(image.convert("RGBA")))


CASES = [
    (same_bytes, False),
    (same_bytes, True),
    (png_and_bmp, False),
    (other_comment, False),
    (other_comment, True),
    (other_metadata, False),
    (other_metadata, True),
    (opaque_alpha, False),
]


@pytest.mark.parametrize("across_labels", [False, True])
@pytest.mark.parametrize(("pairs", "pass_through"), CASES)
def test_equal_images_never_straddle(tmp_path: Path, pairs: Pairs, pass_through: bool, across_labels: bool) -> None:
    files, expected = others(), []
    for number in range(12):
        (suffix, data), (other_suffix, other_data) = pairs(number)
        names = [f"cat/p{number:02}.{suffix}", f"{'dog' if across_labels else 'cat'}/q{number:02}.{other_suffix}"]
        files |= {names[0]: data, names[1]: other_data}
        expected.append(names)
    found = Packed(tmp_path, files, pass_through=pass_through)
    assert found.rows("exact") == sorted(expected)
    assert found.straddling(expected) == 0
    counts = found.duplicates
    assert (counts["exact_sets"], counts["exact_images"], counts["exact_sets_across_splits"]) == (12, 24, 0)
    assert counts["exact_sets_across_labels"] == (12 if across_labels else 0)
    # Nothing is dropped, and the splits stay within a set of their exact sizes.
    assert sum(found.dataset["counts"].values()) == len(files)
    assert abs(found.dataset["counts"]["test"] - len(files) / 5) <= 2 * 2
    # Sorted into splits one by one some would have straddled.
    assert len({found.split_of[names[0]] for names in expected}) > 1


def test_chains_of_equal_bytes_and_groups_stay_together(tmp_path: Path) -> None:
    """A and B are one file, B and C one group, C and D one picture in two formats."""
    files, chains = others(), []
    for number in range(8):
        first, second = noisy(16, 16, seed=2000 + number), noisy(16, 16, seed=3000 + number)
        chain = {
            f"cat/a{number}.png": encoded(first),
            f"dog/b_track{number}_1.png": encoded(first),
            f"cat/c_track{number}_2.png": encoded(second),
            f"dog/d{number}.bmp": encoded(second, "BMP"),
        }
        files |= chain
        chains.append(list(chain))
    found = Packed(tmp_path, files, group_by=r"_(track\d)_")
    assert found.straddling(chains) == 0
    assert len({found.split_of[chain[0]] for chain in chains}) > 1
    assert found.duplicates["exact_sets"] == 16


def test_a_class_of_one_picture_is_an_error_that_says_so(tmp_path: Path) -> None:
    files = others() | {f"emu/{number}.png": encoded(noisy(16, 16, seed=9)) for number in range(9)}
    with pytest.raises(Exception, match=r"class 'emu' has 9 usable images in 1 group \(copies and --group-by keep"):
        Packed(tmp_path, files)


def test_copies_in_given_splits_stay_where_they_are_and_are_counted(tmp_path: Path) -> None:
    files = {f"{split}/{path}": data for split in SPLITS for path, data in others(4).items()}
    write(tmp_path / "data", files)
    counts = pack(tmp_path / "data", Layout(root=tmp_path / "out", flat=True), settings())
    assert counts["counts"] == dict.fromkeys(SPLITS, 8)
    assert counts["duplicates"]["exact_sets_across_splits"] == 8
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/duplicates.csv").read_text())))
    assert Counter(row["split"] for row in rows) == dict.fromkeys(SPLITS, 8)


# Near duplicates


def photo(seed: int) -> Pixels:
    """Return a picture with large shapes in it, as photos have, 160 x 120."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(30, 226, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_CUBIC)


def one_pixel_changed(pixels: Pixels) -> Pixels:
    changed = pixels.copy()
    changed[40, 50] = 255 - changed[40, 50]
    return changed


NEAR: dict[str, Callable[[Pixels], tuple[str, bytes]]] = {
    "recompressed": lambda pixels: ("jpg", encoded(pixels, "JPEG", quality=60)),
    "brightened": lambda pixels: ("png", encoded(cv2.add(pixels, (12, 12, 12, 0)))),
    "one pixel changed": lambda pixels: ("png", encoded(one_pixel_changed(pixels))),
    "half the size": lambda pixels: ("png", encoded(cv2.resize(pixels, (80, 60), interpolation=cv2.INTER_AREA))),
    "twice the size": lambda pixels: ("png", encoded(cv2.resize(pixels, (320, 240), interpolation=cv2.INTER_LINEAR))),
}


@pytest.mark.parametrize("change", NEAR)
def test_images_that_look_alike_are_reported(tmp_path: Path, change: str) -> None:
    files, expected = {}, []
    for number in range(12):
        pixels = photo(number)
        suffix, data = NEAR[change](pixels)
        names = [f"cat/p{number:02}.png", f"dog/q{number:02}.{suffix}"]
        files |= {names[0]: encoded(pixels), names[1]: data}
        expected.append(names)
    found = Packed(tmp_path, files, image_size=64, resize=64)
    assert found.rows("near") == expected
    assert found.rows("exact") == []
    counts = found.duplicates
    assert (counts["near_sets"], counts["near_images"]) == (12, 24)
    assert counts["near_sets_across_splits"] == found.straddling(expected)
    assert counts["exact_sets"] == 0


def test_what_looks_alike_is_not_looked_for_where_nothing_is_decoded(tmp_path: Path) -> None:
    files = {f"{name}/{n}.png": encoded(noisy(16, 16, seed=n + 50 * (name == "a"))) for name in "ab" for n in range(9)}
    found = Packed(tmp_path, files, pass_through=True)
    assert found.duplicates["near_sets"] is None
    assert found.duplicates["near_images"] is None
    assert found.rows("near") == []


def test_flat_pictures_do_not_look_alike(tmp_path: Path) -> None:
    files = others(5) | {f"cat/flat{n}.png": encoded(np.full((20, 20, 3), 10 * n, np.uint8)) for n in range(20)}
    assert Packed(tmp_path, files).duplicates["near_sets"] == 0


def test_unrelated_photos_do_not_look_alike(shared_data: Path, tmp_path: Path) -> None:
    dataset = pack(shared_data / "cats_dogs", Layout(root=tmp_path, flat=True), settings(image_size=96, resize=96))
    assert sum(dataset["counts"].values()) == 1000
    # The one pair that is found is one photo, saved twice.
    rows = list(csv.DictReader(io.StringIO((tmp_path / "duplicates.csv").read_text())))
    assert sorted(row["path"] for row in rows) == ["dog/dog.180.jpg", "dog/dog.74.jpg"]
    assert dataset["duplicates"]["near_sets"] == 1


# The sets themselves


def entry(number: int, digest: int, key: int | None = None, look: int = -1) -> Entry:
    return Entry(f"{number}.png", 1, "", bytes([digest]), bytes([100 + digest if key is None else key]), look)


def test_equality_by_file_or_by_pixels_is_transitive() -> None:
    entries = [entry(0, 1, 1), entry(1, 2, 2), entry(2, 1, 3), entry(3, 4, 3), entry(4, 5, 5), entry(5, 5, 6)]
    assert exact_sets(entries) == [0, 1, 0, 0, 4, 4]
    assert find_duplicates(entries, exact_sets(entries)).exact == [[0, 2, 3], [4, 5]]
    assert exact_sets([]) == []


def random_looks(generator: random.Random) -> list[int]:
    looks: list[int] = []
    for _ in range(60):
        look = generator.getrandbits(64)
        if looks and generator.random() < 0.6:
            look = generator.choice(looks)
            for bit in generator.sample(range(64), generator.randint(0, NEAR_BITS + 2)):
                look ^= 1 << bit
        looks.append(look)
    return looks


@pytest.mark.parametrize("seed", range(30))
def test_near_sets_are_those_of_comparing_every_pair(seed: int) -> None:
    looks = random_looks(random.Random(seed))
    entries = [entry(number, number, look=look) for number, look in enumerate(looks)]
    union = Union(len(looks))
    for one, look in enumerate(looks):
        for other in range(one):
            if (look ^ looks[other]).bit_count() <= NEAR_BITS:
                union.join(one, other)
    expected = defaultdict(list)
    for position, name in enumerate(union.names()):
        expected[name].append(position)
    near = find_duplicates(entries, exact_sets(entries)).near
    assert near is not None
    assert sorted(near) == sorted(members for members in expected.values() if len(members) > 1)


def test_equal_images_alone_are_no_near_set() -> None:
    look = 0x0F0F3355AACC6699
    entries = [entry(0, 1, look=look), entry(1, 1, look=look), entry(2, 2, look=look ^ 0xFFFF0000)]
    found = find_duplicates(entries, exact_sets(entries))
    assert (found.exact, found.near) == ([[0, 1]], [])
    entries[2] = entry(2, 2, look=look ^ 0b111)
    assert find_duplicates(entries, exact_sets(entries)).near == [[0, 1, 2]]


@pytest.mark.parametrize("seed", range(20))
def test_joined_keeps_together_what_any_numbering_does(seed: int) -> None:
    generator = random.Random(seed)
    size = 40
    first = [f"group {generator.randrange(30)}" for _ in range(size)]
    second = [generator.randrange(30) for _ in range(size)]
    names = joined(first, second)
    # By repeated search, the slow way.
    reached = list(range(size))
    for _ in range(size):
        for one in range(size):
            for other in range(size):
                if first[one] == first[other] or second[one] == second[other]:
                    reached[one] = reached[other] = min(reached[one], reached[other])
    assert names == reached
