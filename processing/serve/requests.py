"""What a request asks for: its images by content type, and which form of answer."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from serve.errors import TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, RefusedRequest
from serve.facts import Facts
from serve.images import Tensor, pixels_to_decode, read_tensor
from serve.limits import LARGE_PIXELS, MAX_IMAGES, MAX_REQUEST_PIXELS

# What the bytes are decides how they are read, as in packing; the built-in algorithm's image has the same three types.
IMAGE_TYPES: Final = ("image/jpeg", "image/png", "application/x-image")
JSON_TYPE: Final = "application/json"
# Clients that name no type send the bytes of an image, which is the built-in image's default too.
DEFAULT_TYPE: Final = "application/x-image"
CUSTOM_ATTRIBUTES: Final = "x-amzn-sagemaker-custom-attributes"


@dataclass(frozen=True, kw_only=True)
class WantedImage:
    """An image to classify: ``read`` decodes it, which is much work where it is ``large``."""

    read: Callable[[], Tensor]
    large: bool


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Images to classify; ``several``: a list was sent, so a list is answered."""

    images: Sequence[WantedImage]
    several: bool


def images_of(body: bytes, content_type: str, facts: Facts) -> Wanted:
    """Return what a body holds; RefusedRequest for an unknown type, an empty body or JSON of another form.

    Images that declare too many pixels together are refused here too, before one of them is decoded.
    """
    kind = content_type.partition(";")[0].strip().lower() or DEFAULT_TYPE
    if kind not in (*IMAGE_TYPES, JSON_TYPE):
        known = ", ".join((*IMAGE_TYPES, JSON_TYPE))
        message = f"content type {kind[:100]!r} is not supported: send one of {known}"
        raise RefusedRequest("unsupported_content_type", message, status=UNSUPPORTED_MEDIA_TYPE)
    if not body:
        raise RefusedRequest("empty", "the body is empty: send an image, or a JSON list of base64 texts")
    if kind == JSON_TYPE:
        return Wanted(images=_listed_images(_listed(body), facts), several=True)
    large = pixels_to_decode(body, facts) > LARGE_PIXELS
    return Wanted(images=[WantedImage(read=lambda: read_tensor(body, facts), large=large)], several=False)


def wants_verbose(custom_attributes: str) -> bool:
    """Whether the request's custom attributes, `name=value` parted by semicolons or commas, hold verbose=true."""
    attributes = (attribute.strip().lower() for attribute in re.split("[;,]", custom_attributes))
    return any(re.fullmatch(r"verbose\s*=\s*true", attribute) for attribute in attributes)


def _listed(body: bytes) -> list[Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedRequest("malformed_json", f"the body is not JSON: {error}") from None
    if not isinstance(content, list):
        raise RefusedRequest("malformed_json", "the body must be a JSON list of base64 texts, one for each image")
    if not content:
        raise RefusedRequest("empty", "the list is empty: send at least one image")
    if len(content) > MAX_IMAGES:
        message = f"the list has {len(content)} images, at most {MAX_IMAGES} are allowed: send several requests"
        raise RefusedRequest("too_many_images", message, status=TOO_LARGE)
    return content


def _listed_images(texts: Sequence[Any], facts: Facts) -> list[WantedImage]:
    images: list[WantedImage] = []
    together = 0
    for index, text in enumerate(texts):
        pixels = _pixels(text, facts)
        together += pixels
        if together > MAX_REQUEST_PIXELS:
            message = f"the images up to number {index} have {together} pixels, {MAX_REQUEST_PIXELS} are allowed"
            raise RefusedRequest("too_many_pixels", f"{message}: send several requests", status=TOO_LARGE)
        images.append(WantedImage(read=_reader(text, index, facts), large=pixels > LARGE_PIXELS))
    return images


def _pixels(text: Any, facts: Facts) -> int:
    """Return 0 for what is no image: reading it says why, in the order of the list."""
    try:
        return pixels_to_decode(_decoded(text), facts)
    except RefusedRequest:
        return 0


def _reader(text: Any, index: int, facts: Facts) -> Callable[[], Tensor]:
    def read() -> Tensor:
        try:
            return read_tensor(_decoded(text), facts)
        except RefusedRequest as error:
            raise error.of_image(index) from None

    return read


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str):
        raise RefusedRequest("malformed_json", f"it is of type {type(text).__name__}, a base64 text is expected")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedRequest("not_base64", f"it is no base64: {error}") from None
