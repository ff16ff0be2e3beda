"""Settings of the endpoint that an approved model version is deployed to."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator
from typing_extensions import Self

from pipeline_def.settings.section import InstanceType, Section

SubnetId = Annotated[str, StringConstraints(pattern=r"^subnet-[0-9a-f]{8,17}$")]
SecurityGroupId = Annotated[str, StringConstraints(pattern=r"^sg-[0-9a-f]{8,17}$")]
EmailAddress = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]

# Instances whose local disks encrypt by themselves, for which the service takes no key (KmsKeyId of
# CreateEndpointConfig): families with a "d" behind their generation, and those of accelerators with local disks.
_LOCAL_STORAGE: Final = re.compile(r"ml\.([a-z]+[0-9]+[a-z]*d[a-z]*|g4dn|g5|g6e?|p4de?|p5e?n?|inf2|trn1n?|trn2)\.")
# Graviton (a "g" behind the generation), and accelerators that need models compiled for them.
_OTHER_PROCESSORS: Final = re.compile(r"ml\.([a-z]+[0-9]+g[a-z]*|inf[0-9]+|trn[0-9]+n?)\.")
# Longest limit of a deployment: BlueGreenUpdatePolicy, MaximumExecutionTimeoutInSeconds.
LONGEST_DEPLOYMENT_SECONDS: Final = 28_800
# Starting the new fleet, and stopping the old one.
_FLEET_SECONDS: Final = 2_400
# A step of a linear shift is 10 to 50 % of the instances, a canary at most 50 %.
_SMALLEST_LINEAR_PERCENT: Final = 10

# The most that a request may hold, in MB, by kind of endpoint.
MAX_PAYLOAD_MB: Final = {"realtime": 6, "serverless": 4}


class ServingSettings(Section):
    """The endpoint: real-time instances or serverless, how traffic moves to a new version, and what guards it."""

    kind: Literal["realtime", "serverless"] = Field("realtime", description="Kind of the endpoint")
    instance_type: InstanceType = Field("ml.c5.large", description="Instance of a real-time endpoint")
    instance_count: int = Field(1, ge=1, le=100, description="Instances that a real-time endpoint has at least")
    max_instance_count: int = Field(
        1, ge=1, le=100, description="Instances that it may grow to; more than instance_count switches autoscaling on"
    )
    target_invocations_per_minute: int = Field(
        600, ge=1, le=1_000_000, description="Invocations of one instance per minute that autoscaling aims at"
    )
    serverless_memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(
        2048, description="Memory of a serverless endpoint"
    )
    serverless_max_concurrency: int = Field(
        5, ge=1, le=200, description="Requests that a serverless endpoint answers at the same time"
    )
    max_payload_mb: float | None = Field(
        None, gt=0, description="Largest request in MB; absent: 6 for real-time, 4 for serverless, which are the most"
    )
    capture_percent: int = Field(
        0, ge=0, le=100, description="Share of the requests that are captured for the monitor; real-time only"
    )
    capture_expiry_days: int = Field(
        30,
        ge=1,
        le=3650,
        description="Age at which captured requests expire, and at the latest the monitor's results, which show them",
    )
    kms_key_arn: str | None = Field(
        None,
        pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$",
        description="ARN of the key that encrypts the instances' volumes and captured requests; absent: AWS's own",
    )
    subnet_ids: tuple[SubnetId, ...] = Field((), max_length=16, description="Subnets of the endpoint, real-time only")
    security_group_ids: tuple[SecurityGroupId, ...] = Field(
        (), max_length=5, description="Security groups of the endpoint; needed with subnet_ids"
    )
    network_isolation: bool | None = Field(
        None, description="true: the containers reach no network; absent: true for real-time, which alone has it"
    )
    traffic_shift: Literal["all_at_once", "canary", "linear"] = Field(
        "canary", description="How traffic moves to a new version; a single instance moves all at once"
    )
    shift_percent: int = Field(
        50, ge=1, le=50, description="Share of the canary, or of each linear step, in percent of the capacity"
    )
    bake_minutes: int = Field(
        5, ge=5, le=60, description="How long the alarms are watched after each shift; they need 3 minutes to ring"
    )
    error_rate_percent: float = Field(
        5.0, gt=0, le=100, description="Share of requests answered with 5xx at which a deployment rolls back"
    )
    latency_ms: int = Field(
        1000, ge=1, le=60_000, description="99th percentile of the model's latency at which a deployment rolls back"
    )
    idle_hours: int | None = Field(
        None, ge=1, le=720, description="Hours without a request after which the endpoint is removed; absent: never"
    )
    notify: tuple[EmailAddress, ...] = Field(
        (), max_length=20, description="Who hears of deployments, roll-backs and alarms, by email"
    )

    @property
    def payload_limit_mb(self) -> float:
        """The largest request, in MB."""
        return self.max_payload_mb or MAX_PAYLOAD_MB[self.kind]

    @property
    def isolated(self) -> bool:
        """Whether the containers reach no network."""
        return self.kind == "realtime" if self.network_isolation is None else self.network_isolation

    @property
    def autoscaled(self) -> bool:
        """Whether the number of instances follows the load."""
        return self.kind == "realtime" and self.max_instance_count > self.instance_count

    @property
    def shifts(self) -> Literal["all_at_once", "canary", "linear"]:
        """How traffic really moves: a single instance cannot be divided, and serverless has no shifting."""
        divisible = self.kind == "realtime" and self.instance_count > 1
        return self.traffic_shift if divisible else "all_at_once"

    @property
    def deployment_limit_seconds(self) -> int:
        """After how long the service ends a deployment: all shifts with their bakes, and the fleets' start and end."""
        bakes = {"all_at_once": 1, "canary": 2, "linear": -(-100 // self.shift_percent) + 1}[self.shifts]
        return _FLEET_SECONDS + bakes * self.bake_minutes * 60

    @property
    def volume_key_arn(self) -> str | None:
        """The key of the instances' volumes; none where their disks encrypt by themselves."""
        if self.kind == "serverless" or _LOCAL_STORAGE.match(self.instance_type):
            return None
        return self.kms_key_arn

    @property
    def scaling_text(self) -> str:
        """What autoscaling is made from, as one text; "" without it."""
        numbers = (self.instance_count, self.max_instance_count, self.target_invocations_per_minute)
        return "-".join(map(str, numbers)) if self.autoscaled else ""

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        if self.max_instance_count < self.instance_count:
            raise ValueError(
                f"max_instance_count {self.max_instance_count} is below instance_count {self.instance_count}: "
                "raise it, or lower instance_count"
            )
        return self

    @model_validator(mode="after")
    def _check_instance(self) -> Self:
        if self.kind == "realtime" and _OTHER_PROCESSORS.match(self.instance_type):
            raise ValueError(
                f"instance_type {self.instance_type}: the serve image is built for x86-64, which Graviton and "
                "Inferentia instances do not run: use another family, such as ml.c5 or ml.m6i"
            )
        return self

    @model_validator(mode="after")
    def _check_payload(self) -> Self:
        most = MAX_PAYLOAD_MB[self.kind]
        if self.max_payload_mb is not None and self.max_payload_mb > most:
            raise ValueError(
                f"max_payload_mb {self.max_payload_mb:g} is above {most}, the most of a {self.kind} endpoint"
            )
        return self

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        """Serverless endpoints lack these: "Serverless Inference", feature exclusions."""
        if self.kind == "realtime":
            return self
        lacking = {
            "capture_percent": self.capture_percent > 0,
            "subnet_ids": bool(self.subnet_ids),
            "security_group_ids": bool(self.security_group_ids),
            "network_isolation": self.network_isolation is True,
            "kms_key_arn": self.kms_key_arn is not None,
            "max_instance_count": self.max_instance_count > 1,
            "traffic_shift": self.traffic_shift == "linear",
        }
        for name, asked in lacking.items():
            if asked:
                raise ValueError(f"{name}: a serverless endpoint has none: leave it out, or use kind: realtime")
        return self

    @model_validator(mode="after")
    def _check_shift(self) -> Self:
        if self.shifts == "linear" and self.shift_percent < _SMALLEST_LINEAR_PERCENT:
            raise ValueError(
                f"shift_percent {self.shift_percent} is below {_SMALLEST_LINEAR_PERCENT}, the least of a linear shift: "
                "raise it, or use traffic_shift: canary"
            )
        if self.kind == "realtime" and self.deployment_limit_seconds > LONGEST_DEPLOYMENT_SECONDS:
            raise ValueError(
                f"bake_minutes {self.bake_minutes} after each shift of {self.shift_percent} % makes a deployment last "
                f"longer than the {LONGEST_DEPLOYMENT_SECONDS // 3600} hours that the service allows: shorten the "
                "bakes, or shift more at once"
            )
        return self

    @model_validator(mode="after")
    def _check_network(self) -> Self:
        if bool(self.subnet_ids) != bool(self.security_group_ids):
            raise ValueError("subnet_ids and security_group_ids go together: give both or none")
        return self
