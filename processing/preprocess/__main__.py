"""Container entry point: packs the processing input ``data`` into the processing outputs."""

from __future__ import annotations

from common.contract import ml_root, processing_input, run
from preprocess.pack import pack
from preprocess.settings import parse_arguments


def main() -> None:
    """Pack, then say what came out, one line per fact."""
    settings = parse_arguments()
    dataset = pack(processing_input("data"), ml_root() / "processing" / "output", settings)
    counts = ", ".join(f"{split} {count}" for split, count in dataset["counts"].items())
    print(f"Packed {sum(dataset['counts'].values())} images of {dataset['num_classes']} classes: {counts}", flush=True)
    print(f"Rejected {dataset['rejected']} images, ignored {dataset['ignored']} files that are no images", flush=True)
    print(f"Content {dataset['content_hash']}", flush=True)


if __name__ == "__main__":
    run(main, failure_file="message")
