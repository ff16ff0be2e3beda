"""Wires the stacks of one environment together: `cdk synth -c env=dev`, or IMGPIPE_ENV=dev."""

from __future__ import annotations

import sys

from infra.definition import definitions_in_background
from infra.environments import load_environment, requested_environment
from infra.errors import InfraError
from infra.node import use_node


def main() -> int:
    """Synthesises the requested environment; the exit code is 1 after one line on what is wrong."""
    try:
        settings = load_environment(requested_environment())
        use_node()
        with definitions_in_background(settings) as definitions:
            from infra.app import synthesise  # starts the CDK's kernel, which needs the node

            synthesise(settings, definitions=definitions)
    except InfraError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130  # 128 + SIGINT, as a shell reports it
    return 0


if __name__ == "__main__":
    sys.exit(main())
