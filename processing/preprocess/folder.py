"""The command line for a folder of one's own: packs SRC into OUT; the user calls it as `imgpipe pack`."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from common.arguments import ContainerParser, fraction, whole_number
from common.contract import ContainerError, run
from preprocess.layout import Layout
from preprocess.pack import pack
from preprocess.settings import CROPS, LARGEST_IMAGE, OUTPUTS, RECORD_FORMATS, SPLITS, Settings, all_cores
from preprocess.summary import print_summary

DEFAULT_SHARE = Fraction(1, 10)
_DATASET = "dataset.json"  # in every packed folder


def main() -> None:
    """Pack, then say what came out."""
    source, destination, settings = parse_arguments()
    if (destination / _DATASET).exists():
        print(f"{destination} holds packed files of an earlier call, which these replace", flush=True)
    print_summary(pack(source, Layout(root=destination, flat=True), settings))


def parse_arguments(arguments: Sequence[str] | None = None) -> tuple[Path, Path, Settings]:
    """Return source, destination and settings of a command line; ContainerError names a wrong argument."""
    parsed = command_line_parser().parse_args(arguments)
    source, destination = Path(parsed.source), Path(parsed.destination)
    if destination.resolve() == source.resolve() or source.resolve() in destination.resolve().parents:
        raise ContainerError(
            f"{destination} lies in {source}, whose files would change while they are read: choose a folder elsewhere"
        )
    if parsed.output != "recordio":
        _check_replaced(source.resolve(), destination.resolve())
    shares = _shares({split: getattr(parsed, split) for split in SPLITS})
    settings = Settings(
        image_size=parsed.resize or None,
        resize=parsed.resize,
        crop=parsed.crop,
        validation_fraction=float(shares["validation"]),
        test_fraction=float(shares["test"]),
        seed=parsed.seed,
        group_by=parsed.group_by,
        record_format=parsed.format,
        quality=parsed.quality,
        pass_through=parsed.pass_through,
        convert_icc=parsed.convert_icc,
        max_rejected_fraction=parsed.max_rejected,
        output=parsed.output,
        s3_uri=parsed.s3_uri,
        workers=parsed.threads or all_cores(),
    )
    return source, destination, settings


def _check_replaced(source: Path, destination: Path) -> None:
    """Refuse a source in one of the folders of images that an output takes the place of."""
    if destination in source.parents and source.relative_to(destination).parts[0] in SPLITS:
        raise ContainerError(f"{source} lies where {destination} gets folders of its own: choose a folder elsewhere")


def _shares(given: dict[str, float | None]) -> dict[str, Fraction]:
    """Return the share of every split: those not given take 0.1 each, or divide evenly what --train leaves over."""
    shares = {split: Fraction(repr(value)) for split, value in given.items() if value is not None}
    missing = [split for split in ("validation", "test") if split not in shares]
    left = 1 - sum(shares.values(), Fraction(0))
    if "train" in shares:
        shares |= {split: left / len(missing) for split in missing}
    else:
        shares |= dict.fromkeys(missing, DEFAULT_SHARE)
        shares["train"] = 1 - sum(shares.values(), Fraction(0))
    if sum(shares.values(), Fraction(0)) != 1 or min(shares.values()) < 0:
        shown = ", ".join(f"--{split} {float(shares[split]):g}" for split in SPLITS)
        raise ContainerError(f"{shown} are no shares of a whole: they must add up to 1, for instance 0.8, 0.1 and 0.1")
    return shares


def command_line_parser() -> ContainerParser:
    """Return the parser of the options of `imgpipe pack`."""
    parser = ContainerParser(program="imgpipe pack", description="Pack a folder of labelled images as MXNet RecordIO.")
    parser.add_argument("source", metavar="SRC", help="folder of class folders, or of train, validation and test ones")
    parser.add_argument("destination", metavar="OUT", help="folder that gets the .rec, .idx and .lst files")
    for split in SPLITS:
        parser.add_argument(f"--{split}", type=fraction, metavar="F", help=f"share of the images for {split}")
    parser.add_argument(
        "--seed", type=whole_number(0, 2**31 - 1), default=0, metavar="N", help="order and split follow it"
    )
    parser.add_argument(
        "--resize",
        type=whole_number(0, LARGEST_IMAGE),
        default=0,
        metavar="N",
        help="short side in pixels; 0: as it is",
    )
    parser.add_argument("--crop", choices=CROPS, default="none", help="square: keep the middle of each image only")
    parser.add_argument(
        "--quality", type=whole_number(1, 100), default=95, metavar="Q", help="JPEG quality of a record"
    )
    parser.add_argument("--format", choices=RECORD_FORMATS, default="jpg", help="encoding of a record; png is lossless")
    parser.add_argument("--pass-through", action="store_true", help="keep files that fit as they are")
    parser.add_argument("--convert-icc", action="store_true", help="convert embedded colour profiles to sRGB")
    parser.add_argument(
        "--group-by", default="", metavar="REGEX", help="images with one match in their path stay in one split"
    )
    parser.add_argument(
        "--threads", type=whole_number(0, 1024), default=0, metavar="N", help="workers; 0: one per core"
    )
    parser.add_argument(
        "--max-rejected", type=fraction, default=0.01, metavar="F", help="fail past this share of unusable images"
    )
    parser.add_argument("--output", choices=OUTPUTS, default="recordio", help="what the training job is to read")
    parser.add_argument("--s3-uri", default="", metavar="URI", help="where OUT will lie, for augmented-manifest")
    return parser


if __name__ == "__main__":
    run(main, failure_file=None)
