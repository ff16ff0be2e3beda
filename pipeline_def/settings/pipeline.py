"""All settings of the pipelines together, and what must hold between their sections."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from pipeline_def.hyperparameters import table
from pipeline_def.settings.evaluate import EvaluateSettings
from pipeline_def.settings.package import PackageSettings
from pipeline_def.settings.preprocess import PreprocessSettings
from pipeline_def.settings.section import InstanceType, Section
from pipeline_def.settings.train import TrainSettings
from pipeline_def.settings.transform import TransformSettings
from pipeline_def.settings.tune import TuneSettings

# Of each environment, in the order in which they are deployed; the first three end with a registered model.
REGISTERING_PIPELINES: Final = ("train", "tune", "retrain")
PIPELINES: Final = (*REGISTERING_PIPELINES, "transform")
S3Prefix = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*[A-Za-z0-9]$")]
# What the built-in image has weights for: hyperparameter use_pretrained_model in AWS's documentation.
PRETRAINED_IMAGE_SIZE: Final = 224
PRETRAINED_NUM_LAYERS: Final = (18, 34, 50, 101, 152, 200)


class RegistrySettings(Section):
    """How a model that passed the gate enters the registry."""

    approval_status: Literal["PendingManualApproval", "Approved", "Rejected"] = Field(
        "PendingManualApproval", description="Status of a new model package"
    )
    inference_instance_types: tuple[InstanceType, ...] = Field(
        ("ml.m5.large", "ml.c5.large", "ml.c6i.large"), min_length=1, description="Where the model may be served"
    )
    transform_instance_types: tuple[InstanceType, ...] = Field(
        ("ml.m5.large", "ml.c5.large"), min_length=1, description="Where batch transform may run it"
    )
    intended_use: str = Field(
        "Classification of images into the classes of its training data",
        min_length=1,
        max_length=2048,
        description="What the model is for, for its model card",
    )
    risk_rating: Literal["High", "Medium", "Low", "Unknown"] = Field(
        "Unknown", description="Risk of a wrong answer, for the model card"
    )


class PipelineSettings(Section):
    """All that the definitions depend on, besides the environment's name and region."""

    input_prefix: S3Prefix = Field("datasets/main", description="Default place of the class folders in the data bucket")
    cache_days: int = Field(30, ge=0, le=365, description="How long a step's result may be reused; 0 switches it off")
    experiments: bool = Field(
        True, description="true: executions are trials of a SageMaker experiment, which outlives the stacks"
    )
    tracking_server_arn: str | None = Field(
        None,
        pattern=r"^arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:(mlflow-tracking-server|mlflow-app)/[A-Za-z0-9-]{1,256}$",
        description="ARN of a SageMaker MLflow tracking server or app that executions are logged to",
    )
    preprocess: PreprocessSettings = Field(default_factory=PreprocessSettings)
    train: TrainSettings = Field(default_factory=TrainSettings)
    tune: TuneSettings = Field(default_factory=TuneSettings)
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings)
    package: PackageSettings = Field(default_factory=PackageSettings)
    registry: RegistrySettings = Field(default_factory=RegistrySettings)
    transform: TransformSettings = Field(default_factory=TransformSettings)

    @model_validator(mode="after")
    def _check_pretrained(self) -> Self:
        given = self.train.hyperparameters
        layers = given.get("num_layers", table()["num_layers"].default)
        if str(given.get("use_pretrained_model", 0)) != "1" or self.train.image == "own":
            return self
        if self.preprocess.image_size != PRETRAINED_IMAGE_SIZE or layers not in PRETRAINED_NUM_LAYERS:
            raise ValueError(
                f"use_pretrained_model needs image_size {PRETRAINED_IMAGE_SIZE} and num_layers out of "
                f"{', '.join(map(str, PRETRAINED_NUM_LAYERS))}; here they are {self.preprocess.image_size} and {layers}"
            )
        return self

    @model_validator(mode="after")
    def _check_tuning(self) -> Self:
        self.tune.check_ranges(self.train.hyperparameters, image=self.train.image)
        if self.tune.continue_epochs:
            self.train.check_checkpoint_frequency(self.tune.continue_epochs, named="tune.continue_epochs")
        return self
