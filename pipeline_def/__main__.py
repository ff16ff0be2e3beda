"""`python -m pipeline_def [ENVIRONMENT] [PIPELINE]` prints the definition of one of an environment's pipelines.

With `--parameters` its parameters alone, which takes no SDK and so a fraction of the time.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml
from pydantic import ValidationError

from pipeline_def.declarations import Declared, declare_parameters
from pipeline_def.settings import PIPELINES, PipelineSettings
from pipeline_def.transform_parameters import declare_transform_parameters

ENVIRONMENTS = Path(__file__).parents[1] / "environments"


def main() -> None:
    """Prints the definition to standard output; a bad name or setting is one line on standard error and exit code 1."""
    names = sorted(path.stem for path in ENVIRONMENTS.glob("*.yaml"))
    parser = argparse.ArgumentParser(prog="python -m pipeline_def", description=__doc__)
    parser.add_argument("environment", nargs="?", default="dev", choices=names, help="default: dev")
    parser.add_argument("pipeline", nargs="?", default=PIPELINES[0], choices=PIPELINES, help=f"default: {PIPELINES[0]}")
    parser.add_argument("--parameters", action="store_true", help="print the pipeline's parameters alone, as JSON")
    arguments = parser.parse_args()
    name = arguments.environment
    content = yaml.safe_load((ENVIRONMENTS / f"{name}.yaml").read_text(encoding="utf-8"))
    try:
        settings = PipelineSettings.model_validate(content.get("pipeline", {}))
    except ValidationError as error:
        first = error.errors()[0]
        sys.exit(f"environments/{name}.yaml: pipeline.{'.'.join(map(str, first['loc']))}: {first['msg']}")
    if arguments.parameters:
        print(json.dumps([parameter.as_json() for parameter in _declared(settings, arguments.pipeline)], indent=1))
        return
    # Late, because importing the SDK takes seconds and a mistake in the settings should not.
    from pipeline_def.definition import build_definition

    print(build_definition(settings, pipeline=arguments.pipeline, region=content["region"]))


def _declared(settings: PipelineSettings, pipeline: str) -> list[Declared]:
    if pipeline == "transform":
        return declare_transform_parameters(settings).all()
    return declare_parameters(settings, pipeline=pipeline).all()


if __name__ == "__main__":
    main()
