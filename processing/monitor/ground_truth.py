"""Labels that people gave afterwards: CSV or JSON lines, joined with captured requests by their ids."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.lines import files_below, numbered_lines
from monitor.problems import Problems

ID_COLUMNS = ("event_id", "eventId", "inference_id", "inferenceId", "image", "s3_key", "key", "id")
SUFFIXES = (".csv", ".jsonl", ".json")
NOT_LABELS = frozenset({"window.json"})
# Between the labels of an image that has several.
SEPARATOR = "|"

Labels = frozenset[int]


@dataclass
class GroundTruth:
    """Id -> class indices; of two labels for one id the later counts, files taken by name."""

    labels: dict[str, Labels] = field(default_factory=dict)

    def of(self, ids: Sequence[str]) -> Labels | None:
        """Return the labels of the first id that is known, or None.

        The only image of a request may be named with its index too.
        """
        names = (name for id_ in ids for name in (id_, f"{id_}#0"))
        return next((self.labels[name] for name in names if name in self.labels), None)


def read_ground_truth(folder: Path, *, classes: Sequence[str], problems: Problems) -> GroundTruth:
    """Read every CSV file (header with an id column and ``label``) and every line of the JSON-lines files.

    A line is {"event_id": ..., "label": ...}, with any of ID_COLUMNS and ``index`` for one image of several, or what
    Model Monitor calls ground truth: {"groundTruthData": {"data": ...}, "eventMetadata": {"eventId": ...}}. A label is
    a class's name or index. What cannot be read goes to the problems.
    """
    found = GroundTruth()
    places = {name: index for index, name in enumerate(classes)}
    for path in files_below(folder, *SUFFIXES):
        if path.name in NOT_LABELS:
            continue
        read = _csv if path.suffix.lower() == ".csv" else _json_lines
        name = path.relative_to(folder).as_posix()
        for place, row in read(path, name, problems):
            try:
                id_, text = _entry(row)
                found.labels[id_] = _labels(text, places)
            except ValueError as error:
                problems.add("label", place, str(error))
    return found


def _csv(path: Path, name: str, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        # Not by lines: a quoted key may hold what splitlines takes for the end of one.
        reader = csv.DictReader(io.StringIO(text, newline=""))
        return [(f"{name}:{reader.line_num}", row) for row in reader]
    except (ValueError, csv.Error) as error:
        problems.add("label", name, f"no CSV: {error}")
        return []


def _json_lines(path: Path, name: str, problems: Problems) -> list[tuple[str, dict[str, Any]]]:
    rows = []
    for number, line in numbered_lines(path):
        place = f"{name}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            problems.add("label", place, "no JSON")
            continue
        if isinstance(row, dict):
            rows.append((place, row))
        else:
            problems.add("label", place, "no JSON object")
    return rows


def _entry(row: dict[str, Any]) -> tuple[str, Any]:
    if "groundTruthData" in row:
        try:
            return str(row["eventMetadata"]["eventId"]), row["groundTruthData"]["data"]
        except (KeyError, TypeError):
            raise ValueError("ground truth without eventMetadata.eventId or groundTruthData.data") from None
    id_ = next((str(row[name]) for name in ID_COLUMNS if row.get(name) not in (None, "")), None)
    if id_ is None or row.get("label") in (None, ""):
        raise ValueError(f"no label or no id: give label and one of {', '.join(ID_COLUMNS)}")
    index = row.get("index")
    return (id_ if index in (None, "") else f"{id_}#{index}"), row["label"]


def _labels(value: Any, places: dict[str, int]) -> Labels:
    parts = value if isinstance(value, list) else [value] if str(value) in places else str(value).split(SEPARATOR)
    return frozenset(_index(str(part).strip(), places) for part in parts)


def _index(text: str, places: dict[str, int]) -> int:
    if text in places:
        return places[text]
    if text.isdecimal() and int(text) < len(places):
        return int(text)
    raise ValueError(f"label {text!r} is no class of the model")
