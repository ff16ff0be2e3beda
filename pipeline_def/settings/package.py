"""Settings of packaging: in which form a model that passed the gate is served."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from pipeline_def.settings.section import Section

PRECISIONS: Final = ("fp32", "int8")


class PackageSettings(Section):
    """The served model."""

    precision: Literal["fp32", "int8"] = Field(
        "fp32", description="int8: the served model is quantised, which a CPU runs several times faster"
    )
    max_accuracy_drop: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Accuracy on the test set that int8 may cost; where it costs as much or more, fp32 is packaged",
    )
