"""Settings of the workflow that classifies images in S3."""

from __future__ import annotations

from pydantic import Field

from pipeline_def.settings.pipeline import S3Prefix
from pipeline_def.settings.section import Section


class ClassificationSettings(Section):
    """Which answers are accepted, and where images come from."""

    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Confidence that an answer needs; absent: what the model version suggests per class",
    )
    inbox_prefix: S3Prefix | None = Field(
        None, description="Prefix of the data bucket whose new images are classified by themselves; absent: none"
    )
    max_concurrency: int = Field(10, ge=1, le=1000, description="Images of a prefix classified at the same time")
    result_expiry_days: int = Field(365, ge=1, le=3650, description="Age at which results expire")
