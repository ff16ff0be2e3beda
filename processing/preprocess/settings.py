"""What preprocessing can be told: settings, their allowed values, and the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from common.arguments import ContainerParser, fraction, fraction_below_one, whole_number
from common.contract import ContainerError

SMALLEST_IMAGE, LARGEST_IMAGE = 8, 4096
RECORD_FORMATS = ("jpg", "png")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a folder becomes records.

    ``image_size`` is the model's side S in pixels, ``resize`` the short side of a stored image, ``images_per_class``
    0 for all. ``threads`` changes the speed, never the bytes. Raises ContainerError where values contradict each other.
    """

    image_size: int
    resize: int
    validation_fraction: float
    test_fraction: float
    images_per_class: int = 0
    seed: int = 0
    record_format: str = "jpg"
    quality: int = 95
    max_rejected_fraction: float = 0.01
    listing_hash: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.resize < self.image_size:
            raise ContainerError(
                f"--resize {self.resize} is smaller than --image-size {self.image_size}: the short side of a record "
                "must cover the crop; give at least the image size, or 0 for the image size itself"
            )
        if self.validation_fraction + self.test_fraction >= 1:
            raise ContainerError(
                f"--validation-fraction {self.validation_fraction} and --test-fraction {self.test_fraction} leave no "
                "image to train on: together they must be below 1"
            )


def parse_arguments(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of a command line (``sys.argv`` by default); ContainerError names a wrong argument."""
    parsed = _parser().parse_args(arguments)
    return Settings(
        image_size=parsed.image_size,
        resize=parsed.resize or parsed.image_size,
        validation_fraction=parsed.validation_fraction,
        test_fraction=parsed.test_fraction,
        images_per_class=parsed.images_per_class,
        seed=parsed.seed,
        record_format=parsed.record_format,
        quality=parsed.quality,
        max_rejected_fraction=parsed.max_rejected_fraction,
        listing_hash=os.environ.get("LISTING_HASH") or None,
        threads=len(os.sched_getaffinity(0)),
    )


def _parser() -> ContainerParser:
    parser = ContainerParser(program="preprocess", description=__doc__ or "")
    side = whole_number(SMALLEST_IMAGE, LARGEST_IMAGE)
    parser.add_argument("--image-size", type=side, default=224, help="side of the model's input in pixels")
    parser.add_argument(
        "--resize", type=whole_number(0, LARGEST_IMAGE), default=0, help="short side of a record; 0: the image size"
    )
    parser.add_argument("--validation-fraction", type=fraction_below_one, default=0.1)
    parser.add_argument("--test-fraction", type=fraction_below_one, default=0.1)
    parser.add_argument(
        "--images-per-class", type=whole_number(0, 2**31 - 1), default=0, help="seeded sample of each class; 0: all"
    )
    parser.add_argument("--seed", type=whole_number(0, 2**31 - 1), default=0, help="order, split and sample follow it")
    parser.add_argument("--record-format", choices=RECORD_FORMATS, default="jpg")
    parser.add_argument("--quality", type=whole_number(1, 100), default=95, help="JPEG quality of a record")
    parser.add_argument(
        "--max-rejected-fraction", type=fraction, default=0.01, help="the run fails past this share of unusable images"
    )
    return parser
