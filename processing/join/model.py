"""What is known of the model that answered: its classes and the confidence that it suggests to ask for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.contract import ContainerError

# From which probability on a label of several counts as present where the version suggests nothing.
PRESENT = 0.5


@dataclass(frozen=True, kw_only=True)
class Model:
    """Classes in the order of the probabilities; `thresholds` by class, None where the version suggests none."""

    labels: Sequence[str]
    thresholds: Sequence[float | None]
    multi_label: bool

    @classmethod
    def read(cls, facts: Path, labels: Path) -> Model:
        """Read model.json and labels.json out of two directories; raise ContainerError where they do not agree."""
        content = json.loads((facts / "model.json").read_text(encoding="utf-8"))
        names = json.loads((labels / "labels.json").read_text(encoding="utf-8"))
        if len(names) != content["classes"]:
            raise ContainerError(f"model.json has {content['classes']} classes, labels.json names {len(names)}")
        overall = content["thresholds"]["overall"]
        per_class = content["thresholds"]["per_class"] or [None] * len(names)
        return cls(
            labels=names,
            thresholds=[overall if value is None else value for value in per_class],
            multi_label=content["multi_label"],
        )

    def present(self, probabilities: Sequence[float]) -> list[str]:
        """The labels of several that an image has."""
        bounds = [PRESENT if threshold is None else threshold for threshold in self.thresholds]
        return [label for label, value, bound in zip(self.labels, probabilities, bounds, strict=True) if value >= bound]
