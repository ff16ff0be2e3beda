"""Container entry point: `python -m serve serve` answers requests with the model in $ML_ROOT/model."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from common.arguments import ContainerParser
from common.contract import ml_root, run

NAME_VARIABLE = "IMGPIPE_MODEL_NAME"


def main() -> None:
    """Load, warm up, listen; returns after SIGTERM, once all requests are answered."""
    # No failure: SageMaker stops the container so, even before it is ready.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(0))
    parser = ContainerParser(program="serve", description=__doc__ or "")
    parser.add_argument("command", choices=["serve"], help="what SageMaker starts a serving container with")
    parser.add_argument("--archive", type=Path, help="a packaged model.tar.gz to unpack first, as SageMaker does")
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on")
    arguments = parser.parse_args()
    # After the arguments: a mistake in them should not wait for the libraries.
    from serve.access import set_up_logging
    from serve.app import application
    from serve.archive import unpack
    from serve.classifier import Classifier
    from serve.handlers import Handlers
    from serve.limits import limits_of_environment
    from serve.server import bind, run_server

    set_up_logging()
    limits = limits_of_environment()
    with bind(arguments.host) as bound:
        folder = ml_root() / "model"
        if arguments.archive:
            unpack(arguments.archive, folder)
        classifier = Classifier(folder)
        try:
            run_server(application(Handlers(classifier, limits, name=os.environ.get(NAME_VARIABLE))), bound)
        finally:
            classifier.close()


if __name__ == "__main__":
    run(main, failure_file=None)
