"""What packing can be told: its settings and their allowed values."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from common.contract import ContainerError

SPLITS = ("train", "validation", "test")
SMALLEST_IMAGE, LARGEST_IMAGE = 8, 4096
RECORD_FORMATS = ("jpg", "png")
CROPS = ("none", "square")
OUTPUTS = ("recordio", "image", "augmented-manifest")

Crop = Literal["none", "square"]
Output = Literal["recordio", "image", "augmented-manifest"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a folder becomes records.

    ``image_size`` is the model's side S in pixels (None where no model is in view), ``resize`` the short side of a
    stored image (0 keeps sizes), ``images_per_class`` 0 for all. ``group_by`` is searched in each image's path; what
    its groups match, or all of the match, names what must stay in one split. ``workers`` (processes) changes the
    speed, never the bytes. Raises ContainerError where values contradict each other.
    """

    image_size: int | None = None
    resize: int = 0
    crop: Crop = "none"
    validation_fraction: float = 0.1
    test_fraction: float = 0.1
    images_per_class: int = 0
    seed: int = 0
    group_by: str = ""
    record_format: str = "jpg"
    quality: int = 95
    pass_through: bool = False
    convert_icc: bool = False
    max_rejected_fraction: float = 0.01
    output: Output = "recordio"
    s3_uri: str = ""
    listing_hash: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        if self.image_size and self.resize < self.image_size:
            raise ContainerError(
                f"--resize {self.resize} is smaller than --image-size {self.image_size}: the short side of a record "
                "must cover the crop; give at least the image size, or 0 for the image size itself"
            )
        if self.fractions["train"] < 0:
            raise ContainerError(
                f"a validation fraction of {self.validation_fraction} and a test fraction of {self.test_fraction} are "
                "more than all images: together they may be at most 1"
            )
        try:
            re.compile(self.group_by)
        except re.error as error:
            raise ContainerError(f"--group-by {self.group_by!r} is no regular expression: {error}") from None
        if self.output == "augmented-manifest" and not re.fullmatch(r"s3://[^/]+(/.*)?", self.s3_uri):
            raise ContainerError(
                f"--s3-uri {self.s3_uri!r}: an augmented manifest names its images by their S3 URIs; give the prefix "
                "that the output folder will be copied to, for instance s3://bucket/prefix"
            )

    @property
    def fractions(self) -> dict[str, Fraction]:
        """Exact shares by split: the decimals that were typed, not their nearest binary floats."""
        shares = {"validation": Fraction(repr(self.validation_fraction)), "test": Fraction(repr(self.test_fraction))}
        return {"train": 1 - shares["validation"] - shares["test"], **shares}


def all_cores() -> int:
    """Return how many worker processes keep this machine busy."""
    return len(os.sched_getaffinity(0))
