"""The model card of a version: what the pipeline knows about data, training, evaluation and intended use.

Schema: "Model package model card schema",
https://docs.aws.amazon.com/sagemaker/latest/dg/model-registry-details.html#model-card-schema
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.steps import ProcessingStep

from pipeline_def.settings.evaluate import GATE_METRICS
from pipeline_def.steps.context import Context
from pipeline_def.steps.evaluate import EVALUATION_FILE
from pipeline_def.steps.preprocess import DATASET_FILE
from pipeline_def.steps.processing import Text, json_value, output_uri
from pipeline_def.steps.trainer import trainer_image

_MARK: Final = re.compile(r'"<number (\d+)>"|<text (\d+)>')


def model_card(
    context: Context, preprocess: ProcessingStep, evaluate: ProcessingStep, hyperparameters: Mapping[str, Text]
) -> dict[str, Text]:
    """The field ModelCard of CreateModelPackage: a draft, for people complete it.

    Its content is a JSON text that the execution fills in; what is filled in are numbers, URIs and values of
    hyperparameters, none of which needs escaping.
    """
    text = _Text()
    registry = context.settings.registry
    content = {
        "intended_uses": {
            "purpose_of_model": "Image classification",
            "intended_uses": registry.intended_use,
            "risk_rating": registry.risk_rating,
        },
        "training_details": {
            "objective_function": {"function": {"function": "Maximize", "facet": "Accuracy"}},
            "training_job_details": {
                "training_datasets": [text.put(output_uri(preprocess, "train"))],
                "training_environment": {"container_image": [text.put(trainer_image(context))]},
                "hyper_parameters": [
                    {"name": name, "value": text.put(value)} for name, value in sorted(hyperparameters.items())
                ],
            },
        },
        "evaluation_details": [
            {
                "name": "Test set",
                "evaluation_observation": "Every image of the test set counted once",
                "datasets": [text.put(output_uri(preprocess, "test"))],
                "metric_groups": [{"name": "metrics", "metric_data": _metrics(evaluate, text)}],
            }
        ],
        "additional_information": {
            "custom_details": {
                "content_hash": text.put(json_value(preprocess, DATASET_FILE, "content_hash")),
                **{
                    f"{split}_images": text.put(json_value(preprocess, DATASET_FILE, f"counts.{split}"))
                    for split in ("train", "validation", "test")
                },
            }
        },
    }
    return {"ModelCardContent": text.render(content), "ModelCardStatus": "Draft"}


def _metrics(evaluate: ProcessingStep, text: _Text) -> list[dict[str, Any]]:
    return [
        {
            "name": metric,
            "type": "number",
            "value": text.put(json_value(evaluate, EVALUATION_FILE, f"metrics.{metric}.value"), number=True),
        }
        for metric in GATE_METRICS
    ]


class _Text:
    """JSON text with values that only the execution knows: marks while it is built, a Join in the end."""

    def __init__(self) -> None:
        self._values: list[Text] = []

    def put(self, value: Text, *, number: bool = False) -> str:
        """What stands for `value` in the content; a number stands there without quotes in the end."""
        self._values.append(value)
        return f"<{'number' if number else 'text'} {len(self._values) - 1}>"

    def render(self, content: dict[str, Any]) -> PipelineVariable:
        """The content as one text."""
        parts: list[Text] = []
        rest = 0
        text = json.dumps(content, ensure_ascii=True)
        for match in _MARK.finditer(text):
            parts += [text[rest : match.start()], self._values[int(match[1] or match[2])]]
            rest = match.end()
        return Join(on="", values=[*parts, text[rest:]])
