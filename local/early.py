"""What a run can be refused for at once, before an environment is synthesised for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from local.errors import LocalRunError
from local.executor.definition import Definition
from local.model_files import PARAMETERS as MODEL_FILES
from local.program import hint
from local.ranges import check_ranges
from local.registry.store import APPROVED, RegistryStore
from local.synth import declared_parameters

# The pipeline that classifies with an approved version, and its parameter; see functions/plan_transform.
_TRANSFORM, _VERSION, _LATEST_APPROVED = "transform", "ModelVersion", "latest-approved"
_STAND_IN: Final = "s3://bucket/model.tar.gz"


def check_early(
    *,
    environment: str,
    pipeline: str,
    project: Path,
    home: Path,
    parameters: Mapping[str, str],
    suggestions: Mapping[str, str],
) -> None:
    """Raises LocalRunError, as the run itself would later, for a wrong parameter or a version that is not approved."""
    declared = declared_parameters(environment, pipeline, project=project)
    if declared is None:
        return  # synth says what is wrong with the settings
    definition = Definition(tuple(declared), ())
    values = definition.parameter_values({**definition.offered(suggestions), **parameters})
    # A file of this machine takes the place of its URI, which the run makes of it.
    check_ranges(values | {name: _STAND_IN for name in MODEL_FILES if name in parameters})
    if pipeline == _TRANSFORM:
        _check_version(str(values[_VERSION]), RegistryStore(home, environment))


def _check_version(asked: str, store: RegistryStore) -> None:
    versions = store.versions()
    approved = [item.version for item in versions if item.approval_status == APPROVED]
    if asked == _LATEST_APPROVED:
        if not approved:
            there = ", ".join(str(item.version) for item in versions) or "none"
            raise LocalRunError(f"no version is approved: `{hint('approve VERSION --local')}` first (there is {there})")
        return
    if not asked.isdecimal():
        return  # which the pipeline refuses
    stored = store.version(int(asked))
    if stored.version not in approved:
        others = f", or give {', '.join(map(str, approved))}" if approved else ""
        raise LocalRunError(
            f"version {asked} is {stored.approval_status}: `{hint(f'approve {asked} --local')}` first{others}"
        )
