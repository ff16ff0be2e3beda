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
    tolerated_failure_percent: int = Field(
        10, ge=0, le=100, description="Share of a prefix's images that may fail before the rest is given up"
    )
    payload_expiry_days: int = Field(
        7, ge=1, le=365, description="Age at which the shrunk images and the lists of results of prefixes expire"
    )
    result_expiry_days: int = Field(365, ge=1, le=3650, description="Age at which results expire")
