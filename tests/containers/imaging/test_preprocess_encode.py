"""Records: lossless as PNG, with full colour resolution as JPEG."""

import simplejpeg
from pictures import difference, gradient

from preprocess.decode import read_image
from preprocess.encode import encode_image

SIDE = 24


def test_png_records_are_lossless() -> None:
    picture = gradient(SIDE, SIDE)
    assert difference(read_image(encode_image(picture, record_format="png", quality=1), short_side=SIDE), picture) == 0


def test_jpeg_records_keep_full_colour() -> None:
    picture = gradient(SIDE, SIDE)
    jpeg = encode_image(picture, record_format="jpg", quality=95)
    assert simplejpeg.decode_jpeg_header(jpeg)[3] == "444"
    assert difference(simplejpeg.decode_jpeg(jpeg, "RGB"), picture) < 2


def test_quality_is_followed() -> None:
    picture = gradient(64, 64)
    sizes = [len(encode_image(picture, record_format="jpg", quality=quality)) for quality in (30, 70, 95)]
    assert sizes == sorted(set(sizes))
