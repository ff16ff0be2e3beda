"""Typed settings of the pipeline: the `pipeline:` section of an environment file."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from typing_extensions import Self

from pipeline_def.hyperparameters import TrainingImage, check_hyperparameters, table

InstanceType = Annotated[str, StringConstraints(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]
S3Prefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*[A-Za-z0-9]$")]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]

# https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html, "EC2 Instance Recommendation"
BUILTIN_INSTANCE_FAMILIES = ("p2", "p3", "p3dn", "g4dn", "g5")
PRETRAINED_IMAGE_SIZE = 224
PRETRAINED_NUM_LAYERS = (18, 34, 50, 101, 152, 200)
# An argument of a processing job has at most 256 characters, without line breaks, and may be empty: AppSpecification in
# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_AppSpecification.html
GROUP_BY_OPTION: Final = "--group-by="
MAX_GROUP_BY_CHARACTERS: Final = 256 - len(GROUP_BY_OPTION)


class Section(BaseModel):
    """A settings section: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class TrainSettings(Section):
    """The training job: which image, on what machine, with which hyperparameters."""

    image: TrainingImage = Field("builtin", description="builtin: AWS's image classification; own: our trainer")
    instance_type: InstanceType = Field("ml.g4dn.xlarge", description="Instance of the training job")
    volume_size_gb: int = Field(50, ge=1, le=16384, description="Disk of the training job, in GB")
    max_runtime_minutes: int = Field(720, ge=1, le=7200, description="Limit after which training is stopped")
    hyperparameters: dict[str, str | bool | int | float] = Field(
        default_factory=dict, description="Each one named here becomes an execution parameter with this default"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_hyperparameters(self.hyperparameters, image=self.image)
        family = self.instance_type.split(".")[1]
        if self.image == "builtin" and family not in BUILTIN_INSTANCE_FAMILIES:
            raise ValueError(
                f"instance_type {self.instance_type}: the built-in image trains on GPU instances only "
                f"({', '.join(BUILTIN_INSTANCE_FAMILIES)}); choose one, or set image: own"
            )
        if self.image == "own" and family in BUILTIN_INSTANCE_FAMILIES:
            raise ValueError(
                f"instance_type {self.instance_type}: our own trainer uses no GPU, which would cost and stand idle; "
                "choose for instance ml.c5.xlarge"
            )
        return self


class EvaluateSettings(Section):
    """The evaluation and packaging jobs, and the gate between them."""

    instance_type: InstanceType = Field("ml.m5.xlarge", description="Instance of the evaluation and packaging jobs")
    volume_size_gb: int = Field(30, ge=1, le=16384, description="Disk of those jobs, in GB")
    max_runtime_minutes: int = Field(60, ge=1, le=7200, description="Limit after which such a job is stopped")
    top_k: int = Field(5, ge=2, le=100, description="k of the reported top-k accuracy")
    accuracy_threshold: float = Field(0.8, ge=0, le=1, description="Test accuracy a model needs to be registered")


class RegistrySettings(Section):
    """How a model that passed the gate enters the registry."""

    approval_status: Literal["PendingManualApproval", "Approved", "Rejected"] = Field(
        "PendingManualApproval", description="Status of a new model package"
    )
    inference_instance_types: tuple[InstanceType, ...] = Field(
        ("ml.m5.large", "ml.c5.large", "ml.g4dn.xlarge"), min_length=1, description="Where the model may be served"
    )
    transform_instance_types: tuple[InstanceType, ...] = Field(
        ("ml.m5.large", "ml.g4dn.xlarge"), min_length=1, description="Where batch transform may run it"
    )


class PipelineSettings(Section):
    """All that the definition depends on, besides the environment's name and region."""

    input_prefix: S3Prefix = Field("datasets/main", description="Default place of the class folders in the data bucket")
    cache_days: int = Field(30, ge=0, le=365, description="How long a step's result may be reused; 0 switches it off")
    preprocess: PreprocessSettings = Field(default_factory=PreprocessSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    registry: RegistrySettings = Field(default_factory=RegistrySettings)

    @model_validator(mode="after")
    def _check_pretrained(self) -> Self:
        """Weights exist for one image size and the large networks: see the hyperparameter in AWS's documentation."""
        given = self.train.hyperparameters
        layers = given.get("num_layers", table()["num_layers"].default)
        if str(given.get("use_pretrained_model", 0)) != "1":
            return self
        if self.preprocess.image_size != PRETRAINED_IMAGE_SIZE or layers not in PRETRAINED_NUM_LAYERS:
            raise ValueError(
                f"use_pretrained_model needs image_size {PRETRAINED_IMAGE_SIZE} and num_layers out of "
                f"{', '.join(map(str, PRETRAINED_NUM_LAYERS))}; here they are {self.preprocess.image_size} and {layers}"
            )
        return self
