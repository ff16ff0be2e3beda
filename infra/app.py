"""The CDK app of one environment, the same from the CDK's command line, from `python app.py` and from the tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

import aws_cdk as cdk

from infra.classification_stack import ClassificationStack
from infra.dataset_stack import DatasetStack
from infra.definition import definitions_of
from infra.environments import ROOT
from infra.errors import InfraError
from infra.monitoring_stack import MonitoringStack
from infra.nag import add_checks
from infra.serving_stack import ServingStack
from infra.settings import EnvironmentSettings
from infra.training_stack import TrainingStack


class _Shared(TypedDict):
    """What every stack but the first takes: the buckets by their names, and the images' source."""

    settings: EnvironmentSettings
    data_bucket: str
    artifact_bucket: str
    processing: Path


def build_app(
    settings: EnvironmentSettings,
    *,
    outdir: Path | None = None,
    processing: Path | None = None,
    definitions: Callable[[], Mapping[str, str]] | None = None,
) -> cdk.App:
    """The unsynthesised app; `outdir` defaults to CDK_OUTDIR, `processing` (the images' source) to the repository's.

    `definitions` gives the pipelines' definitions once they are needed; by default they are built then.

    cdk.json's context is read here too, because only the CDK's command line reads it by itself: without it a direct
    run would have other feature flags, and so another template. Between the two only the key of the functions' layer
    still differs: the command line, which deploys, has the compiled one (decision 26).
    """
    app = cdk.App(
        outdir=str(outdir) if outdir else None,
        context=_feature_flags(),
        analytics_reporting=False,
        # cfn-lint does this in the tests; here it would be a fifth of the synth's time.
        builtin_cloud_formation_validation=False,
    )
    dataset = DatasetStack(app, f"{settings.prefix}-dataset", settings=settings)
    shared = _Shared(
        settings=settings,
        data_bucket=dataset.data_bucket.name,
        artifact_bucket=dataset.artifact_bucket.name,
        processing=processing or ROOT / "processing",
    )
    serving = ServingStack(app, f"{settings.prefix}-serving", **shared)
    for name, kind in {"classification": ClassificationStack, "monitoring": MonitoringStack}.items():
        kind(app, f"{settings.prefix}-{name}", **shared).add_stack_dependency(serving)
    # Last, because it waits for the definitions, which may still be in the making.
    training = TrainingStack(
        app,
        f"{settings.prefix}-training",
        definitions=definitions() if definitions else definitions_of(settings),
        **shared,
    )
    training.add_stack_dependency(dataset)
    serving.add_stack_dependency(training)
    for key, value in {"project": settings.project, "environment": settings.environment, **settings.tags}.items():
        cdk.Tags.of(app).add(key, value)
    add_checks(app)
    return app


def synthesise(settings: EnvironmentSettings, *, definitions: Callable[[], Mapping[str, str]]) -> None:
    """Writes the cloud assembly to CDK_OUTDIR (default: a new temporary folder); raises InfraError on a finding."""
    app = build_app(settings, definitions=definitions)
    try:
        app.synth()
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
        raise InfraError(
            "the rules named above forbid these templates: change them, or acknowledge a finding with its reason "
            "where it arises (infra/nag.py)"
        ) from error


def _feature_flags() -> dict[str, Any]:
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return context
