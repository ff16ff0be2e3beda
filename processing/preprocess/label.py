"""What each image file is labelled with, and whether its split is given: by folders, by split folders, or by lists.

A function of the paths and lists alone, never of the images, so that it gives the same for one instance and for many.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from common.contract import ContainerError
from common.lists import ListRow, unescape_path
from preprocess.walk import Rejection

MIN_CLASSES = 2
# Top-level folders, and lists by their names, that say which split their images are in.
SPLIT_NAMES = {
    "train": "train",
    "valid": "validation",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
NAMES_FILE = "labels.json"
SMALLEST_LABEL_STRATUM = 10


class Item(NamedTuple):
    """One labelled image: ``stratum`` is what its split is balanced by, ``split`` the given one or None."""

    path: str
    labels: tuple[float, ...]
    stratum: str
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """All items; ``classes`` in label order, ``ignored`` images that a list leaves out, ``label_width`` per record."""

    classes: list[str]
    items: list[Item]
    label_width: int = 1
    rejections: list[Rejection] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def given_splits(self) -> set[str]:
        """The splits that the input names itself."""
        return {item.split for item in self.items if item.split}


def label(paths: Iterable[str], *, lists: Mapping[str, list[ListRow]], names: bytes | None, where: str) -> Labelled:
    """Label image paths; ``lists`` are the rows of the folder's own .lst files, ``names`` the bytes of labels.json.

    Without lists, class folders sorted by code point are labels 0..n-1, in the folder ``where`` itself or in its
    folders train, validation (or valid, val) and test. ContainerError where there are fewer than two classes.
    """
    if lists:
        return _by_lists(set(paths), lists, names, where)
    parts = [(path, path.split("/")) for path in paths]
    if _is_split_already(parts, where):
        return _by_folders(parts, depth=1, where=where)
    return _by_folders(parts, depth=0, where=where)


def _is_split_already(parts: list[tuple[str, list[str]]], where: str) -> bool:
    """Tell whether train, validation and test folders hold class folders; a class may be called train as well.

    They do where each has more images in folders than beside them: one stray image must not turn splits into classes.
    ContainerError where the others do and one does not, as in test sets without labels.
    """
    surplus: dict[str, int] = defaultdict(int)
    for _, folders in parts:
        if len(folders) > 1:
            surplus[folders[0]] += 1 if len(folders) > 2 else -1  # noqa: PLR2004
    if "train" not in surplus or len(surplus) == 1 or not surplus.keys() <= SPLIT_NAMES.keys():
        return False
    flat = sorted(name for name, count in surplus.items() if count <= 0)
    if surplus["train"] > 0 and flat:
        raise ContainerError(
            f"{where}/train holds class folders, but {where}/{flat[0]} holds images without a class: move these into "
            "class folders, or elsewhere"
        )
    return not flat


def _by_folders(parts: list[tuple[str, list[str]]], *, depth: int, where: str) -> Labelled:
    names = sorted({folders[depth] for _, folders in parts if len(folders) > depth + 1})
    _check_classes(names, parts, depth=depth, where=where)
    number = {name: float(position) for position, name in enumerate(names)}
    found = Labelled(classes=_printable(names), items=[])
    for path, folders in parts:
        if len(folders) <= depth + 1:
            found.rejections.append(Rejection(path=path, reason="lies outside the class folders", size=0))
            continue
        name = folders[depth]
        split = SPLIT_NAMES[folders[0]] if depth else None
        found.items.append(Item(path=path, labels=(number[name],), stratum=name, split=split))
    return found


def _check_classes(names: list[str], parts: list[tuple[str, list[str]]], *, depth: int, where: str) -> None:
    if len(names) >= MIN_CLASSES:
        return
    found = f"only {names[0]!r}" if names else "none"
    inner = sorted({folders[depth + 1] for _, folders in parts if len(folders) > depth + 2})
    hint = ""
    if len(names) == 1 and len(inner) >= MIN_CLASSES:
        hint = f"; it holds {len(inner)} folders itself, so perhaps {where}/{names[0]} is meant"
    raise ContainerError(
        f"{where} needs at least {MIN_CLASSES} class folders with images, found {found}: one folder of images per "
        f"class{hint}"
    )


def _printable(names: Iterable[str]) -> list[str]:
    """Return names as JSON, reports and logs can show them: what is no text or cannot be printed, escaped."""
    shown = [
        "".join(
            character if character.isprintable() else character.encode("unicode_escape").decode() for character in name
        )
        for name in names
    ]
    for earlier, later in zip(sorted(shown), sorted(shown)[1:], strict=False):
        if earlier == later:
            raise ContainerError(f"two classes are called {earlier!r}: rename one of them")
    return shown


def _by_lists(paths: set[str], lists: Mapping[str, list[ListRow]], names: bytes | None, where: str) -> Labelled:
    split_of = _splits_of_lists(lists, where)
    widths = {len(rows[0].labels) for rows in lists.values() if rows}
    if len(widths) != 1:
        raise ContainerError(f"{where}: the lists {', '.join(sorted(lists))} need rows, and equally many labels in all")
    width = widths.pop()
    found = Labelled(classes=[], items=[], label_width=width)
    listed: set[str] = set()
    for name, rows in sorted(lists.items()):
        for row in rows:
            path = row.path if row.path in paths else unescape_path(row.path)
            if path in listed:
                raise ContainerError(f"{where}: {path!r} is listed twice, the second time in {name}: keep one line")
            listed.add(path)
            if path in paths:
                found.items.append(Item(path=path, labels=row.labels, stratum="", split=split_of[name]))
            else:
                found.rejections.append(Rejection(path=path, reason=_why_missing(path, name), size=0))
    found.ignored.extend(sorted(paths - listed))
    found.items[:] = [
        item._replace(stratum=stratum) for item, stratum in zip(found.items, _strata(found.items), strict=True)
    ]
    found.classes[:] = _class_names(found.items, width, names, where)
    return found


def _splits_of_lists(lists: Mapping[str, list[ListRow]], where: str) -> dict[str, str | None]:
    split_of = {name: SPLIT_NAMES.get(os.path.splitext(name)[0].lower()) for name in lists}  # noqa: PTH122
    if len(lists) > 1 and (None in split_of.values() or len(set(split_of.values())) < len(lists)):
        raise ContainerError(
            f"{where} holds the lists {', '.join(sorted(lists))}: give a single list, or train.lst with validation.lst "
            "and test.lst"
        )
    return {name: split if len(lists) > 1 else None for name, split in split_of.items()}


def _why_missing(path: str, name: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        return f"{name} names a file outside the data folder"
    return f"{name} names it, but there is no image file of that name"


def _strata(items: list[Item]) -> list[str]:
    """Return what each item is balanced by: its labels, or "" where too few images have just these."""
    texts = [" ".join(f"{label:g}" for label in item.labels) for item in items]
    if items and len(items[0].labels) == 1:
        return texts
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return [text if counts[text] >= SMALLEST_LABEL_STRATUM else "" for text in texts]


def _class_names(items: list[Item], width: int, names: bytes | None, where: str) -> list[str]:
    if width > 1:
        count = width
    else:
        used = {item.labels[0] for item in items}
        count = len(used)
        if used != {float(number) for number in range(count)} or count < MIN_CLASSES:
            shown = ", ".join(f"{number:g}" for number in sorted(used)[:10])
            raise ContainerError(
                f"{where}: the lists use the labels {shown or 'of no image'}: classes are numbered 0, 1, 2, ... "
                f"without a gap, at least {MIN_CLASSES} of them"
            )
    if names is None:
        return [str(number) for number in range(count)]
    try:
        given = json.loads(names)
    except (ValueError, RecursionError) as error:
        raise ContainerError(f"{where}/{NAMES_FILE} is not JSON: {error}") from None
    if not isinstance(given, list) or len(given) != count or not all(isinstance(name, str) for name in given):
        raise ContainerError(f"{where}/{NAMES_FILE} must be a list of {count} class names, one for each label")
    return _printable(given)
