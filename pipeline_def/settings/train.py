"""Settings of a training job: its image, its machines, its hyperparameters, and what is watched while it runs."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from pipeline_def.hyperparameters import TrainingImage, check_hyperparameters, table
from pipeline_def.settings.section import InstanceType, Section

ModelUri = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.+\.tar\.gz$")]
# https://docs.aws.amazon.com/sagemaker/latest/dg/image-classification.html, "EC2 Instance Recommendation"
BUILTIN_INSTANCE_FAMILIES: Final = ("p2", "p3", "p3dn", "g4dn", "g5")
# Families with NVIDIA GPUs that CUDA 11.2, MXNet's last, still knows.
GPU_FAMILIES: Final = (*BUILTIN_INSTANCE_FAMILIES, "p4d")
ACCELERATED: Final = re.compile(r"(g|p|trn|inf|dl)\d")
INPUT_MODES: Final = {"builtin": ("File", "Pipe"), "own": ("File", "FastFile")}
# Rules that watch the machine, not the tensors, so that they work with any image:
# https://docs.aws.amazon.com/sagemaker/latest/dg/use-debugger-built-in-profiler-rules.html
ProfilerRule = Literal[
    "ProfilerReport",
    "BatchSize",
    "CPUBottleneck",
    "GPUMemoryIncrease",
    "IOBottleneck",
    "LoadBalancing",
    "LowGPUUtilization",
    "OverallSystemUsage",
]


class ProfilerSettings(Section):
    """SageMaker's profiler beside the training job; it takes rule jobs of its own, which cost."""

    enabled: bool = Field(False, description="true: the training job's machine is profiled, and the rules run")
    interval_milliseconds: Literal[100, 200, 500, 1000, 5000, 60000] = Field(
        500, description="Time between two readings of the machine's metrics"
    )
    rules: tuple[ProfilerRule, ...] = Field(
        ("ProfilerReport", "LowGPUUtilization", "CPUBottleneck"),
        max_length=20,
        description="Built-in profiler rules, each a job of the service's",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        twice = sorted({rule for rule in self.rules if self.rules.count(rule) > 1})
        if twice:
            raise ValueError(f"rules: {', '.join(twice)} is named twice: name each rule once")
        return self


class TrainSettings(Section):
    """The training job: which image, on what machine, with which hyperparameters."""

    image: TrainingImage = Field("builtin", description="builtin: AWS's image classification; own: our trainer")
    instance_type: InstanceType = Field("ml.g4dn.xlarge", description="Instance of the training job")
    instance_count: int = Field(
        1, ge=1, le=20, description="Instances that train together, each on its part of the records"
    )
    volume_size_gb: int = Field(50, ge=1, le=16384, description="Disk of the training job, in GB")
    max_runtime_minutes: int = Field(720, ge=1, le=7200, description="Limit after which training is stopped")
    input_mode: Literal["File", "FastFile", "Pipe"] = Field(
        "File",
        description="How records reach the job: FastFile with our trainer only, Pipe with the built-in image only",
    )
    spot: bool = Field(
        False, description="true: spare capacity at a lower price; our trainer goes on from its checkpoints"
    )
    max_wait_minutes: int = Field(
        1440, ge=1, le=14400, description="spot: limit of waiting and training together, at least max_runtime_minutes"
    )
    pretrained_model_uri: ModelUri | None = Field(
        None,
        description="Our trainer: model.tar.gz whose weights training starts from, with a new final layer; becomes the "
        "parameter PretrainedModelUri",
    )
    hyperparameters: dict[str, str | bool | int | float] = Field(
        default_factory=dict, description="Each one named here becomes an execution parameter with this default"
    )
    profiler: ProfilerSettings = Field(default_factory=ProfilerSettings)

    @property
    def instance_family(self) -> str:
        """The middle of the instance type: g4dn of ml.g4dn.xlarge."""
        return self.instance_type.split(".")[1]

    @property
    def on_gpu_trainer(self) -> bool:
        """Whether our trainer runs on a GPU, from the image's GPU target."""
        return self.image == "own" and self.instance_family in GPU_FAMILIES

    @model_validator(mode="after")
    def _check_hyperparameters(self) -> Self:
        check_hyperparameters(self.hyperparameters, image=self.image)
        if self.hyperparameters.get("precision_dtype") == "float16" and self.instance_family not in GPU_FAMILIES:
            raise ValueError(
                f"precision_dtype float16 needs a GPU, and instance_type {self.instance_type} has none: choose "
                f"float32, or an instance of {', '.join(GPU_FAMILIES)}"
            )
        if self.image == "own" and self.instance_count > 1 and self.hyperparameters.get("kv_store") == "dist_async":
            raise ValueError("kv_store dist_async is not for several instances with image own: use dist_sync")
        self.check_checkpoint_frequency(self.value("epochs"), named="epochs")
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        several = str(self.value("multi_label")) == "1"
        if str(self.value("use_weighted_loss")) == "1" and not several:
            raise ValueError("use_weighted_loss 1 is for images of several labels: set multi_label: 1, or remove it")
        if self.image == "own" and several and "top_k" in self.hyperparameters:
            raise ValueError("top_k is for images of one label each: remove it, or multi_label")
        steps = [int(step) for step in str(self.value("lr_scheduler_step") or "").split(",") if step]
        if self.image == "own" and steps != sorted(set(steps)):
            raise ValueError(f"lr_scheduler_step {','.join(map(str, steps))}: the epochs must rise, as in 10,20")
        return self

    def value(self, hyperparameter: str) -> str | bool | int | float | None:
        """The value of a hyperparameter, its default where it is not given."""
        return self.hyperparameters.get(hyperparameter, table()[hyperparameter].default)

    def check_checkpoint_frequency(self, epochs: object, *, named: str) -> None:
        """Raises ValueError where checkpoint_frequency asks for an epoch that a job of `epochs` does not have."""
        frequency = self.value("checkpoint_frequency")
        if isinstance(frequency, int) and isinstance(epochs, int) and frequency > epochs:
            raise ValueError(f"checkpoint_frequency {frequency} is above {named} {epochs}: lower it")

    @model_validator(mode="after")
    def _check_machine(self) -> Self:
        if self.image == "builtin" and self.instance_family not in BUILTIN_INSTANCE_FAMILIES:
            raise ValueError(
                f"instance_type {self.instance_type}: the built-in image trains on GPU instances only "
                f"({', '.join(BUILTIN_INSTANCE_FAMILIES)}); choose one, or set image: own"
            )
        if self.image == "own" and ACCELERATED.match(self.instance_family) and not self.on_gpu_trainer:
            raise ValueError(
                f"instance_type {self.instance_type}: our trainer does not know its accelerator, which would cost and "
                f"stand idle: choose one of {', '.join(GPU_FAMILIES)}, or one without"
            )
        if self.input_mode not in INPUT_MODES[self.image]:
            raise ValueError(
                f"input_mode {self.input_mode} is not for the {self.image} image: "
                f"it takes {' or '.join(INPUT_MODES[self.image])}"
            )
        if self.spot and self.max_wait_minutes < self.max_runtime_minutes:
            raise ValueError(
                f"max_wait_minutes {self.max_wait_minutes} is below max_runtime_minutes {self.max_runtime_minutes}: "
                "waiting and training together cannot be shorter than training"
            )
        return self

    @model_validator(mode="after")
    def _check_pretrained(self) -> Self:
        wanted = str(self.hyperparameters.get("use_pretrained_model", 0)) == "1"
        if self.pretrained_model_uri and self.image == "builtin":
            raise ValueError(
                "pretrained_model_uri is for our trainer: the built-in image brings its own weights, set "
                "hyperparameters.use_pretrained_model: 1 instead, or image: own"
            )
        if wanted and self.image == "own" and not self.pretrained_model_uri:
            raise ValueError(
                "use_pretrained_model 1 with image own needs pretrained_model_uri, the model.tar.gz to start from: "
                "nothing is downloaded at run time"
            )
        return self
