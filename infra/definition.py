"""The pipelines' definitions for an environment, built beside the CDK because each takes seconds to import."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from infra.errors import InfraError
from infra.settings import EnvironmentSettings
from pipeline_def.settings import PIPELINES, PipelineSettings


def definitions_of(settings: EnvironmentSettings) -> Mapping[str, str]:
    """Pipeline (one of PIPELINES) -> its definition.

    Raises InfraError for what only the SDK knows, such as a region without the built-in image.
    """
    try:
        return _build(settings.pipeline, settings.region)
    except ValueError as error:
        raise _as_infra_error(error, settings) from error


@contextmanager
def definitions_in_background(settings: EnvironmentSettings) -> Iterator[Callable[[], Mapping[str, str]]]:
    """Begins to build the definitions in a process of its own; calling what this gives waits for them.

    Must be opened before the CDK is imported: that starts a thread, and a process should not be forked from several.
    """
    # Without garbage collection the SDK, nearly all of whose objects stay, is imported in two thirds of the time.
    with ProcessPoolExecutor(max_workers=1, initializer=gc.disable) as pool:
        future = pool.submit(_build, settings.pipeline, settings.region)

        def finished() -> Mapping[str, str]:
            try:
                return future.result()
            except ValueError as error:
                raise _as_infra_error(error, settings) from error
            except BrokenProcessPool as error:
                raise InfraError(
                    "the process that builds the definitions was killed: is there enough memory?"
                ) from error

        yield finished


def _build(settings: PipelineSettings, region: str) -> dict[str, str]:
    from pipeline_def.definition import build_definition  # late: imports the SDK, in this process alone

    return {pipeline: build_definition(settings, pipeline=pipeline, region=region) for pipeline in PIPELINES}


def _as_infra_error(error: ValueError, settings: EnvironmentSettings) -> InfraError:
    return InfraError(f"environments/{settings.environment}.yaml: {' '.join(str(error).split())}")
