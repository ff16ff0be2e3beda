"""Writes what was predicted of every image: as lines for programs, as tables for people, and in short."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from common.contract import ContainerError
from common.files import AtomicFiles
from join.answers import Answers, Refused
from join.model import Model
from join.plan import Image, Plan

SCHEMA_VERSION = 1
_DIGITS = 6  # of a probability
_COLUMNS = ("key", "label", "probability", "threshold", "accepted")
_REASONS = {
    "empty": "the object has no bytes",
    "too_large": "the object is larger than the job's limit",
    "unusable_key": "the key has an empty, too long or relative part, so that no file can have its name",
}
_STRAYS_NAMED = 8
# What a spreadsheet takes for a formula: a key is whatever somebody uploaded.
# Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass
class _Counts:
    """What transform.json tells."""

    images: int = 0
    accepted: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    first_failure: str = ""


def write_predictions(plan: Plan, answers: Answers, model: Model, *, destination: Path, top_k: int) -> dict[str, Any]:
    """Write four files below `destination` and return the content of transform.json.

    - predictions.jsonl: a line for every listed image, `key`, `uri`, and either `label`, `probability`, `threshold`,
      `accepted` (null without a threshold), `ranked` (the `top_k` most probable labels) and, of a model of several
      labels, `labels`; or `error` with `code` and `message`;
    - predictions.csv: the classified images; failures.csv: the others, each with its reason. Both are for people: a
      text that a spreadsheet would take for a formula begins with an apostrophe, so programs join by predictions.jsonl;
    - transform.json: the counts, where images and model came from, and answers that belong to no image.

    Raise ContainerError where no image was classified at all: then the input is wrong, or the model.
    """
    counts = _Counts()
    columns = (*_COLUMNS, "labels") if model.multi_label else _COLUMNS
    with AtomicFiles() as files:
        lines, table, failures = (
            files.open(destination / name) for name in ("predictions.jsonl", "predictions.csv", "failures.csv")
        )
        table.write(_row(columns))
        failures.write(_row(("key", "code", "message")))
        for image in plan.images():
            answer = _answer(image, answers, len(model.labels))
            if isinstance(answer, Refused):
                entry: dict[str, Any] = {"error": {"code": answer.code, "message": answer.message}}
                failures.write(_row((image.key, answer.code, answer.message)))
            else:
                entry = _prediction(answer, model, top_k)
                table.write(_table_row(image.key, entry, columns))
            _count(counts, image, entry)
            lines.write(_line({"key": image.key, "uri": plan.input_uri + image.key, **entry}))
        summary = _summary(counts, plan, thresholds=any(value is not None for value in model.thresholds))
        summary["stray_answers"] = {"count": len(answers.strays), "first": answers.strays[:_STRAYS_NAMED]}
        _write(files.open(destination / "transform.json"), summary)
        if not summary["classified"]:
            raise ContainerError(
                f"none of {counts.images} images below {plan.input_uri} was classified, the first: "
                f"{counts.first_failure}: is it a folder of images?"
            )
    return summary


def _answer(image: Image, answers: Answers, classes: int) -> list[float] | Refused:
    if image.skipped:
        return Refused(image.skipped, f"{_REASONS.get(image.skipped, image.skipped)} ({image.size} bytes)")
    return answers.of(image.key, classes=classes)


def _prediction(probabilities: Sequence[float], model: Model, top_k: int) -> dict[str, Any]:
    # Of equal probabilities the first class comes first, as argmax has it.
    order = sorted(range(len(probabilities)), key=lambda index: -probabilities[index])
    best = order[0]
    threshold = model.thresholds[best]
    ranked = [{"label": model.labels[i], "probability": round(probabilities[i], _DIGITS)} for i in order[:top_k]]
    return {
        **ranked[0],
        "threshold": threshold,
        "accepted": None if threshold is None else probabilities[best] >= threshold,
        **({"labels": model.present(probabilities)} if model.multi_label else {}),
        "ranked": ranked,
    }


def _count(counts: _Counts, image: Image, entry: dict[str, Any]) -> None:
    counts.images += 1
    if error := entry.get("error"):
        counts.failures[error["code"]] += 1
        counts.first_failure = counts.first_failure or f"{image.key}: {error['message']}"
        return
    counts.accepted += entry["accepted"] is True
    counts.labels.update(entry.get("labels", [entry["label"]]))


def _summary(counts: _Counts, plan: Plan, *, thresholds: bool) -> dict[str, Any]:
    failed = counts.failures.total()
    return {
        "schema_version": SCHEMA_VERSION,
        "input_uri": plan.input_uri,
        "listing_hash": plan.listing_hash,
        "model_version": plan.model_version,
        "model_package_arn": plan.model_package_arn,
        "images": counts.images,
        "classified": counts.images - failed,
        "accepted": counts.accepted if thresholds else None,
        "failed": failed,
        "labels": dict(counts.labels.most_common()),
        "failures": dict(counts.failures.most_common()),
    }


def _table_row(key: str, entry: dict[str, Any], columns: Sequence[str]) -> bytes:
    accepted = {None: "", True: "true", False: "false"}[entry["accepted"]]
    shown = {**entry, "key": key, "accepted": accepted, "labels": "|".join(entry.get("labels", []))}
    return _row(["" if shown[name] is None else shown[name] for name in columns])


def _row(values: Sequence[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_cell(value) for value in values])
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _line(content: dict[str, Any]) -> bytes:
    return f"{json.dumps(content, ensure_ascii=False)}\n".encode()


def _write(file: IO[bytes], content: dict[str, Any]) -> None:
    file.write(f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode())
