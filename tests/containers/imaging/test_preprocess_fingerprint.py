"""The difference hash: known bits, near for the same picture, far for another."""

import numpy as np
from pictures import encoded, gradient
from PIL import Image

from preprocess.decode import read_image
from preprocess.encode import encode_image
from preprocess.fingerprint import difference_hash


def photo(seed: int) -> np.ndarray:
    """Return a picture with large shapes, as photographs have."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((320, 240), Image.Resampling.BICUBIC))


def bits(first: np.ndarray, second: np.ndarray) -> int:
    return (difference_hash(first) ^ difference_hash(second)).bit_count()


def test_known_pictures() -> None:
    ramp = np.repeat(np.arange(9, dtype=np.uint8)[None, :, None] * 20, 8, axis=0).repeat(3, axis=2)
    assert difference_hash(ramp) == 2**64 - 1
    assert difference_hash(ramp[:, ::-1]) == 0
    first_pair = np.zeros((8, 9, 3), np.uint8)
    first_pair[0, 1:] = 100
    assert difference_hash(first_pair) == 1 << 63


def test_scaling_and_compression_change_few_bits() -> None:
    for seed in range(5):
        picture = photo(seed)
        small = read_image(encoded(picture, "JPEG", quality=60), short_side=96)
        assert bits(picture, small) <= 3
        again = read_image(encode_image(small, record_format="jpg", quality=50), short_side=64)
        assert bits(picture, again) <= 4


def test_other_pictures_are_far() -> None:
    distances = [bits(photo(first), photo(second)) for first in range(6) for second in range(first)]
    assert min(distances) > 12


def test_any_size() -> None:
    for width, height in ((1, 1), (3, 200), (200, 3)):
        assert 0 <= difference_hash(gradient(width, height)) < 2**64
