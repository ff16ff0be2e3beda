"""Pipeline `transform`: a registered version classifies the images of a prefix."""

from __future__ import annotations

from typing import Any

from pipeline_def.steps.context import TransformContext
from pipeline_def.steps.create_model import create_model_step
from pipeline_def.steps.join import join_step
from pipeline_def.steps.plan_transform import plan_step
from pipeline_def.steps.transform import transform_step


def steps(context: TransformContext) -> list[Any]:
    """Plan, CreateModel, Transform, Join."""
    plan = plan_step(context)
    model = create_model_step(context, plan)
    transform = transform_step(context, plan, model)
    return [plan, model, transform, join_step(context, plan, transform)]
