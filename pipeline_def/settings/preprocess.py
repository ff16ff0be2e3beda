"""Settings of packing: from labelled images to RecordIO."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from pipeline_def.settings.section import InstanceType, Section

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]

# An argument of a processing job has at most 256 characters, without line breaks, and may be empty: AppSpecification in
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AppSpecification.html
GROUP_BY_OPTION: Final = "--group-by="
MAX_GROUP_BY_CHARACTERS: Final = 256 - len(GROUP_BY_OPTION)


class PreprocessSettings(Section):
    """From labelled images to RecordIO: defaults of the execution's parameters, and the job's machine."""

    instance_type: InstanceType = Field("ml.m5.xlarge", description="Instance of the packing job")
    instance_count: int = Field(
        1, ge=1, le=100, description="Instances that pack; with more than one, a second job merges their shards"
    )
    volume_size_gb: int = Field(30, ge=1, le=16384, description="Disk of the packing job, in GB")
    max_runtime_minutes: int = Field(120, ge=1, le=7200, description="Limit after which the job is stopped")
    image_size: int = Field(224, ge=16, le=1024, description="Height and width of the model's input, in pixels")
    resize: int = Field(0, ge=0, le=2048, description="Short side of a packed image in pixels; 0 means image_size")
    validation_fraction: Fraction = Field(0.1, description="Share of the images that choose the best epoch")
    test_fraction: Fraction = Field(0.1, description="Share of the images that the evaluation counts")
    images_per_class: int = Field(0, ge=0, description="Size of a seeded sample of each class; 0 takes all images")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the split, the sample and the training")
    record_format: Literal["jpg", "png"] = Field("jpg", description="Encoding of the packed images; png is lossless")
    quality: int = Field(95, ge=1, le=100, description="JPEG quality of the packed images")
    max_rejected_fraction: Fraction = Field(0.01, description="Share of unreadable images past which the run fails")
    crop: Literal["none", "square"] = Field("none", description="square: packs only the centre square of an image")
    pass_through: bool = Field(False, description="true: a file that fits as it is becomes a record byte for byte")
    convert_icc: bool = Field(False, description="true: colours of images with an ICC profile are converted to sRGB")
    group_by: str = Field(
        "",
        max_length=MAX_GROUP_BY_CHARACTERS,
        description="Regular expression over an image's path: what it matches names a group that no split divides",
    )

    @field_validator("group_by")
    @classmethod
    def _check_group_by(cls, text: str) -> str:
        if text.splitlines() not in ([], [text]):
            raise ValueError("group_by must be one line: write \\n for a line break")
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"group_by {text!r} is not a regular expression: {error}") from None
        return text

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 0 < self.resize < self.image_size:
            raise ValueError(f"resize {self.resize} is below image_size {self.image_size}: raise it, or set 0")
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must leave images to train on: keep it below 1")
        if not self.validation_fraction or not self.test_fraction:
            raise ValueError("validation_fraction and test_fraction must be above 0: both are needed")
        return self
