"""The command line of the packing containers, the same for one instance, a shard and the merge."""

from __future__ import annotations

import os
from collections.abc import Sequence

from common.arguments import ContainerParser, fraction, fraction_below_one, whole_number
from common.contract import ContainerError
from preprocess.settings import CROPS, LARGEST_IMAGE, RECORD_FORMATS, SMALLEST_IMAGE, Settings, all_cores

# A pipeline parameter is text, and a flag cannot depend on one.
TRUTH = {"true": True, "false": False}


def parse_arguments(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of a command line (``sys.argv`` by default); ContainerError names a wrong argument."""
    parsed = _parser().parse_args(arguments)
    if parsed.validation_fraction + parsed.test_fraction >= 1:
        raise ContainerError(
            f"--validation-fraction {parsed.validation_fraction} and --test-fraction {parsed.test_fraction} leave no "
            "image to train on: together they must be below 1"
        )
    return Settings(
        image_size=parsed.image_size,
        resize=parsed.resize or parsed.image_size,
        crop=parsed.crop,
        validation_fraction=parsed.validation_fraction,
        test_fraction=parsed.test_fraction,
        images_per_class=parsed.images_per_class,
        seed=parsed.seed,
        group_by=parsed.group_by,
        record_format=parsed.record_format,
        quality=parsed.quality,
        pass_through=TRUTH[parsed.pass_through],
        convert_icc=TRUTH[parsed.convert_icc],
        max_rejected_fraction=parsed.max_rejected_fraction,
        listing_hash=os.environ.get("LISTING_HASH") or None,
        workers=all_cores(),
    )


def _parser() -> ContainerParser:
    parser = ContainerParser(program="preprocess", description=__doc__ or "")
    side = whole_number(SMALLEST_IMAGE, LARGEST_IMAGE)
    parser.add_argument("--image-size", type=side, default=224, help="side of the model's input in pixels")
    parser.add_argument(
        "--resize", type=whole_number(0, LARGEST_IMAGE), default=0, help="short side of a record; 0: the image size"
    )
    parser.add_argument("--crop", choices=CROPS, default="none", help="square: keep the middle of each image only")
    parser.add_argument("--validation-fraction", type=fraction_below_one, default=0.1)
    parser.add_argument("--test-fraction", type=fraction_below_one, default=0.1)
    parser.add_argument(
        "--images-per-class", type=whole_number(0, 2**31 - 1), default=0, help="seeded sample of each class; 0: all"
    )
    parser.add_argument("--seed", type=whole_number(0, 2**31 - 1), default=0, help="order, split and sample follow it")
    parser.add_argument("--group-by", default="", help="regular expression: images of one match stay in one split")
    parser.add_argument("--record-format", choices=RECORD_FORMATS, default="jpg")
    parser.add_argument("--quality", type=whole_number(1, 100), default=95, help="JPEG quality of a record")
    parser.add_argument("--pass-through", choices=TRUTH, default="false", help="keep files that fit as they are")
    parser.add_argument("--convert-icc", choices=TRUTH, default="false", help="convert embedded profiles to sRGB")
    parser.add_argument(
        "--max-rejected-fraction", type=fraction, default=0.01, help="the run fails past this share of unusable images"
    )
    return parser
