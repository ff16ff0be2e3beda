"""Container entry point: packs the processing input ``data`` into the processing outputs."""

from __future__ import annotations

from common.contract import ml_root, processing_input, run
from preprocess.container_arguments import parse_arguments
from preprocess.layout import Layout
from preprocess.pack import pack
from preprocess.summary import print_summary


def main() -> None:
    """Pack, then say what came out."""
    print_summary(pack(processing_input("data"), Layout(root=ml_root() / "processing" / "output"), parse_arguments()))


if __name__ == "__main__":
    run(main, failure_file="message")
