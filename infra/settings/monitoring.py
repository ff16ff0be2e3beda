"""Settings of the monitor that compares what an endpoint sees with what its model was tested on."""

from __future__ import annotations

from pydantic import Field

from pipeline_def.settings.section import InstanceType, Section


class MonitoringSettings(Section):
    """When the monitor runs, from when on it speaks of drift, and what follows."""

    every_hours: int = Field(
        24, ge=1, le=168, description="Hours between two runs, each over the hours since the last result"
    )
    instance_type: InstanceType = Field("ml.m5.large", description="Instance of the monitoring job")
    volume_size_gb: int = Field(30, ge=1, le=16_384, description="Volume of the monitoring job, which holds a window")
    max_runtime_minutes: int = Field(240, ge=10, le=7_200, description="Time after which a monitoring job is stopped")
    min_records: int = Field(
        100, ge=20, le=1_000_000, description="Captured images below which a window is not compared"
    )
    label_days: int = Field(14, ge=1, le=90, description="Days for which labels of earlier windows still count")
    retrain_on_drift: bool = Field(False, description="true: a window that drifts starts an execution of retrain")
    retrain_cool_down_days: int = Field(7, ge=1, le=365, description="Days between two starts because of drift")
    retrain_monthly_limit: int = Field(2, ge=1, le=31, description="Starts because of drift within 30 days, at most")
