"""JPEG: real damage is refused, harmless oddities are not, and no more is decoded than needed."""

import io
import threading

import numpy as np
import pytest
import simplejpeg
from pictures import Pixels, difference, encoded, gradient, noisy
from PIL import Image

from preprocess import jpeg, scaling
from preprocess.decode import read_image
from preprocess.errors import UnreadableImage

SIDE = 24
PICTURE = noisy(64, 48)
BASELINE = encoded(PICTURE, "JPEG", quality=90)
PROGRESSIVE = encoded(PICTURE, "JPEG", quality=90, progressive=True)
END = b"\xff\xd9"


def old_jfif(data: bytes) -> bytes:
    place = data.index(b"JFIF\0") + 5
    return data[:place] + b"\0\0" + data[place + 2 :]


def extraneous_end(data: bytes) -> bytes:
    return data[:-2] + b"spare bytes" + END


def extraneous_header(data: bytes) -> bytes:
    place = data.index(b"\xff\xdb")
    return data[:place] + b"spare bytes" + data[place:]


def odd_scan_parameters(data: bytes) -> bytes:
    place = data.index(b"\xff\xda") + 11
    assert data[place : place + 3] == b"\0\x3f\0"
    return data[:place] + b"\0\0\0" + data[place + 3 :]


def odd_adobe(data: bytes) -> bytes:
    return data[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07" + data[data.index(b"\xff\xdb") :]


ODDITIES = [old_jfif, extraneous_end, extraneous_header, odd_scan_parameters, odd_adobe]


@pytest.mark.parametrize("oddity", ODDITIES)
def test_what_costs_no_pixel_is_accepted(oddity) -> None:  # type: ignore[no-untyped-def]
    odd = oddity(BASELINE)
    with pytest.raises(ValueError, match=r"JPEG data|JFIF|Adobe|SOS"):
        simplejpeg.decode_jpeg(odd, "RGB")
    assert np.array_equal(read_image(odd, short_side=0), read_image(BASELINE, short_side=0))
    assert np.array_equal(read_image(odd, short_side=SIDE), read_image(BASELINE, short_side=SIDE))


def test_several_oddities_together_are_accepted() -> None:
    odd = extraneous_end(old_jfif(extraneous_header(odd_scan_parameters(BASELINE))))
    assert np.array_equal(read_image(odd, short_side=0), read_image(BASELINE, short_side=0))


def bad_code(data: bytes) -> bytes:
    middle = data.index(b"\xff\xda") + (len(data) - data.index(b"\xff\xda")) // 2
    return data[:middle] + b"\xff\0" * 60 + data[middle + 120 :]


def early_end(data: bytes) -> bytes:
    return data[: len(data) // 2 + 200] + END


def foreign_marker(data: bytes) -> bytes:
    return data[:-300] + b"\xff\xd3" + data[-298:]


@pytest.mark.parametrize("oddity", [None, old_jfif, extraneous_header])
@pytest.mark.parametrize(
    "damage", [bad_code, early_end, foreign_marker, lambda data: data[:-300], lambda data: data[:-2]]
)
def test_real_damage_is_refused_also_behind_an_oddity(damage, oddity) -> None:  # type: ignore[no-untyped-def]
    damaged = damage(BASELINE)
    with pytest.raises(
        UnreadableImage, match=r"damaged JPEG: .*([Pp]remature end|bad Huffman|Unsupported marker|found)"
    ):
        read_image(oddity(damaged) if oddity else damaged, short_side=SIDE)


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE])
def test_cut_anywhere_it_is_refused(data: bytes) -> None:
    for length in range(2, len(data) - 1, 37):
        with pytest.raises(UnreadableImage, match="damaged JPEG"):
            read_image(data[:length], short_side=SIDE)


def test_unusual_sampling_goes_through_pillow() -> None:
    gray = np.full((16, 16, 3), 128, np.uint8)
    data = bytearray(encoded(gray, "JPEG", quality=90, subsampling=2))
    frame = data.index(b"\xff\xc0")
    assert data[frame + 11] == 0x22
    data[frame + 14] = 0x21  # the first colour component twice as wide as the second
    assert jpeg.UNUSUAL_SAMPLING in _refusal(bytes(data))
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(read_image(bytes(data), short_side=0), expected)


def _refusal(data: bytes) -> str:
    with pytest.raises(ValueError, match="sampling") as caught:
        simplejpeg.decode_jpeg(data, "RGB")
    return str(caught.value)


def with_size(data: bytes, width: int, height: int) -> bytes:
    place = next(data.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data) + 5
    return data[:place] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[place + 4 :]


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE])
def test_a_bomb_is_refused_by_its_header(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplejpeg, "decode_jpeg", None)
    with pytest.raises(UnreadableImage, match="limit"):
        read_image(with_size(data, 60_000, 60_000), short_side=SIDE)
    with pytest.raises(UnreadableImage, match="0x60000 pixels"):
        read_image(with_size(data, 0, 60_000), short_side=SIDE)


def test_many_scans_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    last = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
    monkeypatch.setattr(simplejpeg, "decode_jpeg", None)
    with pytest.raises(UnreadableImage, match="scans"):
        read_image(PROGRESSIVE[:-2] + last * jpeg.MAX_SCANS + END, short_side=SIDE)
    with pytest.raises(UnreadableImage, match="scans"):
        read_image(with_size(PROGRESSIVE[:-2] + last * 40 + END, 9000, 9000), short_side=SIDE)


@pytest.mark.parametrize("scale", [1.1, 1.9, 2, 2.5, 3.7, 4, 7.9, 8, 9.3, 20])
def test_shrink_on_load_looks_like_averaging_the_whole_image(scale: float) -> None:
    height = round(SIDE * scale)
    data = encoded(gradient(2 * height + 3, height), "JPEG", quality=97)
    whole = simplejpeg.decode_jpeg(data, "RGB")
    expected = scaling.resize(whole, size=scaling.scaled_size(*whole.shape[:2], SIDE))
    assert difference(read_image(data, short_side=SIDE), expected) < 1.5


def test_the_decoder_only_halves_and_leaves_a_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    original = simplejpeg.decode_jpeg

    def spy(*arguments: object, **options: object) -> Pixels:
        pixels = original(*arguments, **options)
        sizes.append(pixels.shape[:2])
        return pixels

    monkeypatch.setattr(simplejpeg, "decode_jpeg", spy)
    for height in (30, 47, 54, 55, 109, 110, 218, 219, 500):
        read_image(encoded(gradient(height + 5, height), "JPEG"), short_side=SIDE)
    assert [height for height, _ in sizes] == [30, 47, 54, 28, 55, 28, 55, 28, 63]


def test_pixels_are_not_overwritten_by_the_next_image() -> None:
    other = encoded(255 - PICTURE, "JPEG")
    for short_side in (0, 48, SIDE, 96):
        first = read_image(BASELINE, short_side=short_side)
        kept = first.copy()
        read_image(other, short_side=short_side)
        read_image(other, short_side=SIDE)
        assert np.array_equal(first, kept)


def test_threads_do_not_share_a_buffer() -> None:
    pictures = [encoded(gradient(400, 300, seed=300 * seed), "JPEG") for seed in range(2)]
    expected = [read_image(data, short_side=200) for data in pictures]
    failures = []

    def work(number: int) -> None:
        for _ in range(30):
            if not np.array_equal(read_image(pictures[number], short_side=200), expected[number]):
                failures.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
