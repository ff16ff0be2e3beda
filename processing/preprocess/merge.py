"""Container entry point: makes of the shards in the processing input ``pool`` what one instance would have packed."""

from __future__ import annotations

from common.contract import ml_root, processing_input, run
from preprocess.container_arguments import parse_arguments
from preprocess.layout import Layout
from preprocess.pack import merge_shards
from preprocess.summary import print_summary


def main() -> None:
    """Merge, then say what came out."""
    layout = Layout(root=ml_root() / "processing" / "output")
    print_summary(merge_shards(processing_input("pool"), layout, parse_arguments()))


if __name__ == "__main__":
    run(main, failure_file="message")
