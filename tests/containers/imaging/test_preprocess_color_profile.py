"""Colour profiles: applied where they fit the pixels, ignored where not."""

import numpy as np
import pytest
from pictures import difference, gradient
from PIL import Image, ImageCms

from preprocess.color_profile import image_to_srgb, to_srgb

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def test_srgb_changes_next_to_nothing() -> None:
    assert difference(to_srgb(gradient(30, 20), SRGB), gradient(30, 20)) < 1


@pytest.mark.parametrize("profile", [b"", b"broken", SRGB[:150], LAB])
def test_what_does_not_fit_changes_nothing(profile: bytes) -> None:
    assert np.array_equal(to_srgb(gradient(30, 20), profile), gradient(30, 20))


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA"])
def test_other_modes_than_the_profiles_are_left(mode: str) -> None:
    assert image_to_srgb(Image.new(mode, (4, 4)), SRGB) is None
