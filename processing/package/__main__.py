"""Container entry point: gathers the processing inputs into the processing output ``package``."""

from __future__ import annotations

from common.arguments import ContainerParser
from common.contract import processing_input, processing_output, run
from package.bundle import UNKNOWN, Network, bundle


def main() -> None:
    """Bundle, then print the artifact's hash."""
    parser = ContainerParser(program="package", description=__doc__ or "")
    parser.add_argument("--num-layers", default=UNKNOWN, help="depth that the training job was asked for")
    parser.add_argument("--image-shape", default=UNKNOWN, help="its input, as 3,64,64")
    arguments = parser.parse_args()
    content = bundle(
        model=processing_input("model"),
        evaluation=processing_input("evaluation"),
        dataset=processing_input("dataset"),
        destination=processing_output("package"),
        network=Network(num_layers=arguments.num_layers, image_shape=arguments.image_shape),
    )
    print(f"Packaged model.tar.gz sha256:{content['training_artifact_sha256']}", flush=True)


if __name__ == "__main__":
    run(main, failure_file="message")
