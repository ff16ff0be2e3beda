"""How many classes a verbose answer ranks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from serve.answers import verbose
from serve.facts import Facts

CLASSES = 16


def _facts(*, multi_label: bool) -> Facts:
    return Facts(
        image_shape=(3, 8, 8),
        resize=8,
        crop="none",
        convert_icc=False,
        labels=tuple(f"class {index}" for index in range(CLASSES)),
        multi_label=multi_label,
        precision="fp32",
        overall_threshold=None,
        class_thresholds=(None,) * CLASSES,
        training_artifact_sha256="ab" * 32,
    )


@pytest.mark.parametrize(
    ("multi_label", "called", "ranked"), [(True, 13, 13), (True, 4, 10), (True, 16, 16), (False, 13, 10)]
)
def test_of_several_labels_every_class_that_an_image_is_called_is_ranked(
    multi_label: bool, called: int, ranked: int
) -> None:
    row = np.full(CLASSES, 0.1, np.float32)
    row[:called] = 0.5
    answer = json.loads(verbose([row], _facts(multi_label=multi_label), name=None))
    [prediction] = answer["predictions"]
    assert len(prediction["ranked"]) == ranked
