"""SageMaker's profiler beside a training job: request fields for which the SDK's trainer has no argument."""

from __future__ import annotations

from typing import Any

from sagemaker.core import image_uris
from sagemaker.mlops.workflow.steps import TrainingStep

from pipeline_def.steps.context import Context


class ProfiledTrainingStep(TrainingStep):  # type: ignore[misc]  # the SDK comes without types here
    """A training step with further fields of CreateTrainingJob in its request."""

    def __init__(self, *, request_fields: dict[str, Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._request_fields = request_fields

    @property
    def arguments(self) -> dict[str, Any]:
        """See TrainingStep; the added fields come last."""
        return {**super().arguments, **self._request_fields}


def profiler_fields(context: Context) -> dict[str, Any]:
    """ProfilerConfig and ProfilerRuleConfigurations as the settings want them; empty where the profiler is off.

    Rule names and `rule_to_invoke`: "Use Debugger Built-in Rules" in the developer guide.
    """
    profiler = context.settings.train.profiler
    if not profiler.enabled:
        return {}
    image = str(image_uris.retrieve(framework="debugger", region=context.region))
    rules = [
        {
            "RuleConfigurationName": rule,
            "RuleEvaluatorImage": image,
            "VolumeSizeInGB": 0,
            "RuleParameters": {"rule_to_invoke": rule},
        }
        for rule in profiler.rules
    ]
    config = {
        "S3OutputPath": context.output("profiler"),
        "ProfilingIntervalInMilliseconds": profiler.interval_milliseconds,
    }
    return {"ProfilerConfig": config} | ({"ProfilerRuleConfigurations": rules} if rules else {})
