"""The endpoint's answers: plain probabilities or verbose predictions, one for each image of a request."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# From here on an image of several labels is called a class, see evaluate.predict.
POSITIVE = 0.5


class UnusableAnswer(Exception):
    """An answer that says nothing about this model; the message is the reason."""


class OtherModel(Exception):
    """An answer that names another model than the live one, as during a shift of traffic."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was said of one image: the classes it was called, by index, and the largest probability."""

    chosen: tuple[int, ...]
    confidence: float


@dataclass(frozen=True, kw_only=True)
class AnswerReader:
    """Reads the answers of a model with ``classes``; with ``multi_label`` an image is called all of at least 0.5.

    ``model_name`` is the one that verbose answers have to name; None takes all. Plain answers name none.
    """

    classes: Sequence[str]
    multi_label: bool = False
    model_name: str | None = None

    def read(self, text: str | bytes) -> list[Answer]:
        """Return an answer per image; UnusableAnswer where the text is something else, an error for instance.

        OtherModel where another model than ``model_name`` gave it.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise UnusableAnswer("the answer is not JSON") from None
        if isinstance(content, dict):
            if "predictions" not in content:
                raise UnusableAnswer(
                    "the answer is an error" if "error" in content else "the answer has no predictions"
                )
            self._check_model(content.get("model"))
            return [self._verbose(item) for item in _listed(content["predictions"])]
        rows = _listed(content)
        return [self._plain(row) for row in (rows if isinstance(rows[0], list) else [rows])]

    def _check_model(self, model: Any) -> None:
        name = model.get("name") if isinstance(model, dict) else None
        if self.model_name is not None and name is not None and name != self.model_name:
            raise OtherModel(str(name))

    def _plain(self, row: Any) -> Answer:
        values = [_probability(value) for value in _listed(row)]
        if len(values) != len(self.classes):
            raise UnusableAnswer(
                f"the answer has {len(values)} probabilities, not one for each of {len(self.classes)} classes"
            )
        return self._answer(values)

    def _verbose(self, prediction: Any) -> Answer:
        try:
            ranked = {item["label"]: _probability(item["probability"]) for item in prediction["ranked"]}
            ranked[prediction["label"]] = _probability(prediction["probability"])
        except (KeyError, TypeError):
            raise UnusableAnswer("a prediction lacks label, probability or ranked") from None
        unknown = [label for label in ranked if label not in self.classes]
        if unknown:
            raise UnusableAnswer(f"the model has no class {unknown[0]!r}")
        return self._answer([ranked.get(name, 0.0) for name in self.classes])

    def _answer(self, values: Sequence[float]) -> Answer:
        best = max(range(len(values)), key=lambda index: values[index])
        chosen = (
            tuple(index for index, value in enumerate(values) if value >= POSITIVE) if self.multi_label else (best,)
        )
        return Answer(chosen=chosen, confidence=values[best])


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise UnusableAnswer("the answer is no list of probabilities")
    return value


def _probability(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1 + 1e-6 or math.isnan(value):
        raise UnusableAnswer("the answer holds something that is no probability")
    return min(1.0, float(value))
