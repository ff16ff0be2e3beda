"""Fixtures of the evaluation tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from known_model import Job, dataset, save_model, save_records

from common.lists import list_bytes


@pytest.fixture
def make_evaluation(tmp_path: Path) -> Callable[..., Job]:
    """Lay out an evaluation job over (label, encoded image) rows."""

    def make(
        rows: Sequence[tuple[float | Sequence[float], bytes]],
        classes: Sequence[str],
        weights: Sequence[Sequence[float]],
        **model: Any,
    ) -> Job:
        job = Job(tmp_path / "ml")
        described = job.inputs / "dataset"
        described.mkdir(parents=True)
        (job.inputs / "model").mkdir()
        facts = dataset(classes, test=len(rows))
        content = {
            "classes": facts.classes,
            "counts": facts.counts,
            "content_hash": facts.content_hash,
            "image_shape": list(facts.image_shape),
            "resize": facts.resize,
        }
        (described / "dataset.json").write_text(json.dumps(content))
        (described / "labels.json").write_text(json.dumps(facts.classes))
        listed = [
            (
                id_,
                *(
                    (label, f"{id_}.png")
                    if isinstance(label, Sequence)
                    else ([label], f"{classes[int(label)]}/{id_}.png")
                ),
            )
            for id_, (label, _) in enumerate(rows)
        ]
        (described / "test.lst").write_bytes(list_bytes(listed))
        save_records(job.inputs / "test" / "test.rec", rows)
        save_model(job.inputs / "model" / "model.tar.gz", weights, **model)
        return job

    return make
