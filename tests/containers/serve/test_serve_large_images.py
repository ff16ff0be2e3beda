"""Large images, and small requests for many of them, keep no other request waiting."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import PATIENCE_SECONDS, SIDE, Served, encoded, listed, picture

from serve import handlers, images, requests
from serve.classifier import Classifier
from serve.errors import RefusedRequest
from serve.images import Tensor
from serve.requests import WantedImage, images_of

FAR = float("inf")


@pytest.fixture(scope="module")
def classifier(colors: Path) -> Iterator[Classifier]:
    made = Classifier(colors / "model")
    yield made
    made.close()


def wanted(*, large: bool, before: Callable[[], Any] = lambda: None) -> WantedImage:
    """An image that is black, after something has happened."""

    def read() -> Tensor:
        before()
        return np.zeros((3, SIDE, SIDE), np.float32)

    return WantedImage(read=read, large=large)


def test_large_images_are_decoded_one_at_a_time(classifier: Classifier) -> None:
    together, most, lock = 0, 0, threading.Lock()
    met = threading.Barrier(2)

    def decode() -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        try:
            met.wait(0.1)  # two at once would meet here
        except threading.BrokenBarrierError:
            met.reset()
        with lock:
            together -= 1

    async def ask() -> None:
        await asyncio.gather(
            *(classifier.classify([wanted(large=True, before=decode)], deadline=FAR) for _ in range(4))
        )

    asyncio.run(ask())
    assert most == 1


def test_small_images_pass_the_large_ones(classifier: Classifier) -> None:
    passed = threading.Event()

    async def ask() -> bool:
        stuck = [wanted(large=True, before=lambda: passed.wait(PATIENCE_SECONDS)) for _ in range(20)]
        large = asyncio.gather(*(classifier.classify([image], deadline=FAR) for image in stuck))
        await asyncio.sleep(0)  # the large ones are handed on
        small = await classifier.classify([wanted(large=False)], deadline=FAR)
        earlier = not large.done()
        passed.set()
        await large
        return earlier and small.shape == (1, 3)

    assert asyncio.run(ask())


def test_an_image_whose_turn_comes_too_late_is_not_decoded(classifier: Classifier) -> None:
    decoded: list[int] = []
    image = wanted(large=True, before=lambda: decoded.append(1))
    with pytest.raises(RefusedRequest, match="its turn has not come within 60 seconds") as raised:
        asyncio.run(classifier.classify([image], deadline=time.monotonic() - 1))
    assert (raised.value.status, raised.value.code, decoded) == (503, "timeout", [])


def test_large_images_go_alone_so_that_a_client_that_has_gone_is_noticed_between_them() -> None:
    kinds = [False] * 10 + [True, True, False, True]
    batches = handlers._batches([wanted(large=large) for large in kinds])
    assert [[image.large for image in batch] for batch in batches] == [
        [False] * 8,
        [False] * 2,
        [True],
        [True],
        [False],
        [True],
    ]


def test_a_list_of_too_many_pixels_together_is_refused_before_one_is_decoded(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "read_image", None)
    monkeypatch.setattr(requests, "MAX_REQUEST_PIXELS", 3600)
    body = listed(*[encoded(picture(), kind) for kind in ("PNG", "WEBP", "JPEG", "GIF")])  # 1200 pixels each
    with pytest.raises(RefusedRequest) as raised:
        images_of(body, "application/json", classifier.facts)
    assert (raised.value.status, raised.value.code) == (413, "too_many_pixels")
    assert raised.value.message.startswith("the images up to number 3 have 4800 pixels, 3600 are allowed: send several")
    monkeypatch.setattr(requests, "MAX_REQUEST_PIXELS", 4800)
    assert len(images_of(body, "application/json", classifier.facts).images) == 4


def test_a_small_body_cannot_ask_for_many_large_images(server: Served) -> None:
    body = listed(*[encoded(Image.new("1", (7000, 7000)), "PNG")] * 3)
    assert len(body) < 65536
    answer = server.classify(body, "application/json")
    assert (answer.status, answer.code) == (413, "too_many_pixels")


@pytest.mark.parametrize("several", [False, True])
def test_a_file_is_large_by_its_header_or_by_what_scaling_makes_of_it(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch, *, several: bool
) -> None:
    def is_large(width: int, height: int) -> bool:
        data = encoded(picture(width=width, height=height))
        body, kind = (listed(data), "application/json") if several else (data, "image/png")
        [image] = images_of(body, kind, classifier.facts).images
        return image.large

    for module in (images, requests):
        monkeypatch.setattr(module, "LARGE_PIXELS", 2000)
    assert is_large(50, 41)
    assert not is_large(50, 40), "it becomes 25x20"
    assert is_large(60, 10), "it becomes 120x20"
