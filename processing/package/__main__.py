"""Container entry point: fills the processing outputs ``package``, what a version came from, and ``serving``."""

from __future__ import annotations

from typing import Any

from common.arguments import ContainerParser, fraction
from common.contract import processing_input, processing_output, run
from package.bundle import UNKNOWN, Network
from package.inputs import Inputs, Options
from package.job import package
from package.precision import FP32, PRECISIONS

DEFAULT_MAX_ACCURACY_DROP = 0.01


def main() -> None:
    """Package, then print what is served and the hashes of both artifacts."""
    options = _options()
    inputs = Inputs(
        model=processing_input("model"),
        evaluation=processing_input("evaluation"),
        dataset=processing_input("dataset"),
        test=processing_input("test"),
        validation=processing_input("validation"),
    )
    _print(package(inputs, options, provenance=processing_output("package"), serving=processing_output("serving")))


def _options() -> Options:
    parser = ContainerParser(program="package", description=__doc__ or "")
    parser.add_argument("--num-layers", default=UNKNOWN, help="depth that the training job was asked for")
    parser.add_argument("--image-shape", default=UNKNOWN, help="its input, as 3,64,64")
    parser.add_argument("--precision", choices=PRECISIONS, default=FP32, help="of the served model's arithmetic")
    parser.add_argument(
        "--max-accuracy-drop",
        type=fraction,
        default=DEFAULT_MAX_ACCURACY_DROP,
        help="accuracy on the test set that int8 may cost, 0 to 1; where it costs as much or more, fp32 is packaged",
    )
    parser.add_argument(
        "--min-accuracy", type=fraction, default=0.0, help="accuracy on the test set that int8 must have, 0 to 1"
    )
    given = parser.parse_args()
    return Options(
        precision=given.precision,
        max_accuracy_drop=given.max_accuracy_drop,
        min_accuracy=given.min_accuracy,
        network=Network(num_layers=given.num_layers, image_shape=given.image_shape),
    )


def _print(content: dict[str, Any]) -> None:
    served = content["serving"]
    parity = served["parity"]
    print(
        f"The ONNX model answers all {parity['records']} test images as MXNet does, probabilities within "
        f"{parity['max_difference']:.1e}",
        flush=True,
    )
    if served["reason"] is not None:
        print(f"fp32 instead of {served['requested_precision']}: {served['reason']}", flush=True)
    print(f"accuracy={served['accuracy']:.6f}", flush=True)
    print(f"Served model.tar.gz in {served['precision']} sha256:{served['model_sha256']}", flush=True)
    print(f"Packaged model.tar.gz sha256:{content['training_artifact_sha256']}", flush=True)


if __name__ == "__main__":
    run(main, failure_file="message")
