"""From captured requests to the distinct images of a window, measured as the test images were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from common.image_statistics import ImageFacts, image_facts, summarise_images
from common.prediction_statistics import summarise_predictions
from monitor.answers import Answer
from monitor.baseline import Baseline
from monitor.capture import Inference
from monitor.embedding import Sample as Embeddings
from monitor.embedding import Unusualness
from monitor.gallery import Picture, Pixels, Shortlist
from monitor.ground_truth import GroundTruth, Labels
from monitor.problems import Problems
from monitor.scores import Labelled, Summary
from preprocess.decode import UnreadableImage, read_image

# Of a hash: 96 bits, so that two images of ten million share one with a probability of less than 1e-15.
LOOK_DIGITS = 24


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One distinct image of the window, without its pixels; ``unusual`` is its distance from the test images.

    ``look`` is a hash of its pixels; ``ids`` are those of all its requests, by which labels may name it later.
    """

    look: str
    ids: list[str]
    facts: ImageFacts
    answer: Answer
    truth: Labels | None
    unusual: float
    time: str
    place: str

    @property
    def right(self) -> bool:
        """Whether exactly the true classes were answered."""
        return self.truth == frozenset(self.answer.chosen)


@dataclass
class Collection:
    """What a window holds: every image counted, each distinct one measured.

    ``new_images`` are those of hours that no earlier window had.
    """

    samples: list[Sample] = field(default_factory=list)
    images: int = 0
    new_images: int = 0
    least_sure: Shortlist = field(default_factory=Shortlist)
    most_unusual: Shortlist = field(default_factory=Shortlist)

    @property
    def labelled(self) -> Labelled:
        """Distinct images of the window with ground truth."""
        known = [sample for sample in self.samples if sample.truth is not None]
        return Labelled(len(known), sum(sample.right for sample in known))

    def summary(self, classes: int, labelled: Labelled) -> Summary:
        """Return the window in numbers, with the images that labels are known of; it needs at least one sample."""
        called = np.zeros((len(self.samples), classes), np.bool_)
        for row, sample in zip(called, self.samples, strict=True):
            row[list(sample.answer.chosen)] = True
        confidence = np.array([sample.answer.confidence for sample in self.samples])
        return Summary(
            size=len(self.samples),
            predictions=summarise_predictions(called, confidence),
            labelled=labelled,
            **summarise_images(sample.facts for sample in self.samples),
        )

    def pictures(self, which: Shortlist, classes: Sequence[str]) -> list[Picture]:
        """Return the images of a short list with what was said of them."""
        return [_picture(self.samples[position], uri, side, classes) for position, uri, side in which.ranked()]


def collect(
    inferences: Iterable[Inference], *, baseline: Baseline, ground_truth: GroundTruth, problems: Problems
) -> Collection:
    """Read all images; one that came before counts once, so that a client that repeats itself is no drift.

    The same are equal files and equal pixels at the baseline's size. Of several answers to one image the first counts,
    of its labels the first that there is. Images that cannot be read go to the problems.
    """
    found, seen = Collection(), _Seen()
    unusualness = Unusualness(Embeddings(baseline.num_images, baseline.mean, baseline.covariance))
    for inference in inferences:
        found.images += 1
        found.new_images += inference.is_new
        truth = ground_truth.of(inference.ids)
        file = hashlib.sha256(inference.payload).digest()
        if (known := seen.position(file)) is not None:
            _repeat(found, known, inference, truth)
            continue
        try:
            pixels = read_image(inference.payload, short_side=baseline.resize, crop=baseline.crop)
        except UnreadableImage as error:
            problems.add("image", inference.place, f"unreadable image: {error}")
            continue
        look = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest()
        if (known := seen.position(look)) is not None:
            seen.add(file, position=known)
            _repeat(found, known, inference, truth)
            continue
        seen.add(file, look, position=len(found.samples))
        _add(found, inference, pixels, look, truth, unusualness)
    return found


class _Seen:
    """Hashes of files and of pixels -> the place of their sample."""

    def __init__(self) -> None:
        self._positions: dict[bytes, int] = {}

    def position(self, digest: bytes) -> int | None:
        return self._positions.get(digest)

    def add(self, *digests: bytes, position: int) -> None:
        self._positions.update(dict.fromkeys(digests, position))


def _add(
    found: Collection,
    inference: Inference,
    pixels: Pixels,
    look: bytes,
    truth: Labels | None,
    unusualness: Unusualness,
) -> None:
    facts, position = image_facts(Image.fromarray(pixels)), len(found.samples)
    sample = Sample(
        look=look.hex()[:LOOK_DIGITS],
        ids=list(inference.ids),
        facts=facts,
        answer=inference.answer,
        truth=truth,
        unusual=unusualness.of(facts.embedding),
        time=inference.time,
        place=inference.place,
    )
    found.samples.append(sample)
    found.least_sure.offer(-sample.answer.confidence, pixels, position)
    found.most_unusual.offer(sample.unusual, pixels, position)


def _repeat(found: Collection, position: int, inference: Inference, truth: Labels | None) -> None:
    sample = found.samples[position]
    sample.ids.extend(inference.ids)
    if truth is not None and sample.truth is None:
        found.samples[position] = Sample(**{**vars(sample), "truth": truth})


def _picture(sample: Sample, data_uri: str, side: int, classes: Sequence[str]) -> Picture:
    return Picture(
        data_uri=data_uri,
        side=side,
        label=names(sample.answer.chosen, classes),
        confidence=sample.answer.confidence,
        truth="" if sample.truth is None else names(sorted(sample.truth), classes),
        unusual=sample.unusual,
        time=sample.time,
        place=sample.place,
    )


def names(indices: Iterable[int], classes: Sequence[str]) -> str:
    """Return class names for a reader."""
    return ", ".join(classes[index] for index in indices) or "none"
