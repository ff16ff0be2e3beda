"""`python -m pipeline_def [ENVIRONMENT]` prints the definition of an environment's pipeline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError

from pipeline_def.settings import PipelineSettings

ENVIRONMENTS = Path(__file__).parents[1] / "environments"


def main() -> None:
    """Prints the definition to standard output; a bad name or setting is one line on standard error and exit code 1."""
    names = sorted(path.stem for path in ENVIRONMENTS.glob("*.yaml"))
    parser = argparse.ArgumentParser(prog="python -m pipeline_def", description=__doc__)
    parser.add_argument("environment", nargs="?", default="dev", choices=names, help="default: dev")
    name = parser.parse_args().environment
    content = yaml.safe_load((ENVIRONMENTS / f"{name}.yaml").read_text(encoding="utf-8"))
    try:
        settings = PipelineSettings.model_validate(content.get("pipeline", {}))
    except ValidationError as error:
        first = error.errors()[0]
        sys.exit(f"environments/{name}.yaml: pipeline.{'.'.join(map(str, first['loc']))}: {first['msg']}")
    # Late, because importing the SDK takes seconds and a mistake in the settings should not.
    from pipeline_def.definition import build_definition

    print(build_definition(settings, region=content["region"]))


if __name__ == "__main__":
    main()
