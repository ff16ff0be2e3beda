"""Which size, which part, which filter."""

import cv2
import numpy as np
import pytest
from pictures import difference, gradient, noisy
from PIL import Image

from preprocess.errors import UnreadableImage
from preprocess.scaling import check_size, cut_square, resize, scaled_size, upright

BICUBIC = Image.Resampling.BICUBIC


@pytest.mark.parametrize(
    ("height", "width", "short_side", "expected"),
    [
        (375, 500, 256, (256, 341)),
        (500, 375, 256, (341, 256)),
        (24, 24, 8, (8, 8)),
        (3, 4, 6, (6, 8)),
        (375, 500, 375, (375, 500)),
        (375, 500, 0, (375, 500)),
    ],
)
def test_size(height: int, width: int, short_side: int, expected: tuple[int, int]) -> None:
    assert scaled_size(height, width, short_side) == expected


def decibels(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / ((first.astype(float) - second) ** 2).mean()))


@pytest.mark.parametrize("ratio", [1.1, 1.3, 1.45, 1.5, 1.7, 1.9, 2.3, 2.45, 2.7, 4.2, 9.0])
def test_closer_to_lanczos_than_opencvs_default(ratio: float) -> None:
    """Shapes of all sizes, as photographs have: what is too small for the result must not turn into other patterns."""
    generator = np.random.default_rng(0)
    picture = sum(
        np.asarray(Image.fromarray(generator.normal(0, spread, (48 * fine, 64 * fine))).resize((384, 288), BICUBIC))
        for fine, spread in ((1, 40), (2, 20), (4, 10))
    )
    picture = (picture[:, :, None] + (128, 110, 90)).clip(0, 255).astype(np.uint8)
    size = round(288 / ratio), round(384 / ratio)
    expected = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.LANCZOS))
    default = decibels(cv2.resize(picture, size[::-1]), expected)
    assert decibels(resize(picture, size=size), expected) > default + (1 if ratio > 1.55 else -0.01)


@pytest.mark.parametrize("size", [(48, 64), (30, 40), (17, 23), (12, 16), (3, 4)])
def test_a_gradient_stays_one(size: tuple[int, int]) -> None:
    expected = np.asarray(Image.fromarray(gradient(40, 30)).resize(size[::-1], Image.Resampling.BILINEAR))
    assert difference(resize(gradient(40, 30), size=size), expected) < 1.5


def test_the_same_size_is_the_same_array() -> None:
    picture = gradient(40, 30)
    assert resize(picture, size=(30, 40)) is picture


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("height", "width"), [(10, 15), (15, 10), (10, 14), (12, 12)])
def test_the_square_is_cut_as_of_the_upright_picture(height: int, width: int, orientation: int) -> None:
    stored = noisy(width, height)
    whole = upright(stored, orientation)
    side = min(height, width)
    top, left = (whole.shape[0] - side) // 2, (whole.shape[1] - side) // 2
    square = upright(cut_square(stored, height=height, width=width, orientation=orientation), orientation)
    assert np.array_equal(square, whole[top : top + side, left : left + side])


@pytest.mark.parametrize(("height", "width", "pixels"), [(1001, 1500, (126, 188)), (1500, 1001, (188, 126))])
def test_the_square_of_a_scaled_picture(height: int, width: int, pixels: tuple[int, int]) -> None:
    square = cut_square(gradient(pixels[1], pixels[0]), height=height, width=width, orientation=3)
    assert square.shape == (126, 126, 3)


@pytest.mark.parametrize(
    ("height", "width", "short_side", "square", "reason"),
    [
        (0, 5, 8, False, "5x0 pixels"),
        (60_000, 60_000, 8, True, "limit"),
        (1, 5000, 256, False, "too long"),
        (1, 65_501, 0, False, "too long"),
    ],
)
def test_what_is_too_large(height: int, width: int, short_side: int, square: bool, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        check_size(height, width, short_side=short_side, square=square)


def test_what_is_just_right() -> None:
    check_size(1, 5000, short_side=256, square=True)
    check_size(9000, 9000, short_side=256, square=False)
    check_size(1, 65_500, short_side=0, square=False)
