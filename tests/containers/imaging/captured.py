"""A classifier's pictures, its baseline and captured requests, for the tests of the monitor."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pictures import encoded
from PIL import Image
from sklearn.datasets import load_digits

from common.files import write_json
from common.image_statistics import image_facts, summarise_images
from common.prediction_statistics import summarise_predictions
from monitor.findings import Findings, Options
from monitor.job import Inputs, monitor
from preprocess.decode import read_image

CLASSES = ["first", "second"]
RESIZE = 32
DATA = Path(os.environ.get("IMGPIPE_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
BIKES = [DATA / "cifar100_bikes_train" / name for name in ("bicycle", "motorcycle")]
BRIGHTEST = 16  # the digits' grey levels run from 0 to 16
START, END = "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"
SURE, UNSURE = 0.93, 0.6

Photo = tuple[bytes, int]


@functools.cache
def bikes() -> list[Photo]:
    """Return photographs of bicycles and motorcycles, as files, with their class, in an order that mixes these."""
    return _mixed(
        [(path.read_bytes(), label) for label, folder in enumerate(BIKES) for path in sorted(folder.iterdir())]
    )


@functools.cache
def digits() -> list[Photo]:
    """Return handwritten digits, which come with scikit-learn: those below five are one class."""
    found = load_digits()
    grey = [
        Image.fromarray((image * (255 / BRIGHTEST)).round().astype(np.uint8)).resize(
            (RESIZE, RESIZE), Image.Resampling.BICUBIC
        )
        for image in found.images
    ]
    return _mixed(
        [(encoded(image.convert("RGB")), int(digit) // 5) for image, digit in zip(grey, found.target, strict=True)]
    )


def _mixed(found: list[Photo]) -> list[Photo]:
    return [found[index] for index in np.random.default_rng(7).permutation(len(found))]


# Real images by name; photographs are not part of the repository.
SOURCES: dict[str, Callable[[], list[Photo]]] = {"digits": digits}
if all(folder.is_dir() for folder in BIKES):
    SOURCES["bikes"] = bikes


def photos() -> list[Photo]:
    """Return photographs where they are, else digits."""
    return SOURCES.get("bikes", digits)()


def probabilities(photo: Photo) -> list[float]:
    """Return what a model that is nearly always right says of an image: the same whenever it sees it."""
    data, label = photo
    digest = hashlib.sha256(data).digest()
    wrong, unsure = digest[0] % 16 == 0, digest[1] % 4 == 0
    value = UNSURE if unsure else SURE - digest[2] / 4096
    right = value if not wrong else 1 - value
    return [right, 1 - right] if label == 0 else [1 - right, right]


def darker(photo: Photo, factor: float = 0.6) -> Photo:
    """Return the image with less light."""
    pixels = read_image(photo[0], short_side=0)
    return encoded((pixels * factor).astype(np.uint8)), photo[1]


def write_baseline(folder: Path, tested: Sequence[Photo], *, crop: str = "none") -> None:
    """Write baseline.json and model.json of a version that was tested on these images."""
    answers = np.array([probabilities(photo) for photo in tested])
    called: npt.NDArray[np.bool_] = np.eye(len(CLASSES), dtype=np.bool_)[answers.argmax(axis=1)]
    facts = [image_facts(Image.fromarray(read_image(data, short_side=RESIZE))) for data, _ in tested]
    right = answers.argmax(axis=1) == [label for _, label in tested]
    baseline = {
        "schema_version": 1,
        "num_images": len(tested),
        "classes": CLASSES,
        "resize": RESIZE,
        "predictions": summarise_predictions(called, answers.max(axis=1)),
        **summarise_images(facts),
    }
    write_json(folder / "baseline.json", baseline)
    write_json(folder / "model.json", {"crop": crop, "multi_label": False, "accuracy": float(right.mean())})


def plain(photo: Photo) -> str:
    """Return the answer as the built-in image words it."""
    return json.dumps(probabilities(photo))


def prediction(photo: Photo) -> dict[str, Any]:
    """Return one entry of a verbose answer."""
    values = probabilities(photo)
    ranked = sorted(zip(CLASSES, values, strict=True), key=lambda item: -item[1])
    return {
        "label": ranked[0][0],
        "index": CLASSES.index(ranked[0][0]),
        "probability": ranked[0][1],
        "threshold": None,
        "accepted": None,
        "ranked": [{"label": label, "probability": value} for label, value in ranked],
    }


def record(
    event_id: str, body: str, kind: str, encoding: str, output: str, *, hour: int = 12, **metadata: Any
) -> dict[str, Any]:
    """Return one line of a capture file, as data capture writes it."""
    return {
        "captureData": {
            "endpointInput": {"observedContentType": kind, "mode": "INPUT", "data": body, "encoding": encoding},
            "endpointOutput": {
                "observedContentType": "application/json",
                "mode": "OUTPUT",
                "data": output,
                "encoding": "JSON",
            },
        },
        "eventMetadata": {
            "eventId": event_id,
            "inferenceTime": f"2026-01-31T{hour:02}:15:00Z",
            "customAttributes": [],
            **metadata,
        },
        "eventVersion": "0",
    }


def one_image(event_id: str, photo: Photo, **changes: Any) -> dict[str, Any]:
    """Return the record of a request with one image and a plain answer."""
    body = base64.b64encode(photo[0]).decode()
    return record(event_id, body, "image/png", "BASE64", changes.pop("output", plain(photo)), **changes)


def several_images(event_id: str, group: Sequence[Photo], *, verbose: bool, **changes: Any) -> dict[str, Any]:
    """Return the record of a request with a JSON list of images."""
    body = json.dumps([base64.b64encode(data).decode() for data, _ in group])
    answers = {"predictions": [prediction(photo) for photo in group]} if verbose else [probabilities(p) for p in group]
    return record(event_id, body, "application/json", "JSON", json.dumps(answers), **changes)


def write_lines(path: Path, records: Sequence[dict[str, Any] | str]) -> None:
    """Write a JSON-lines file; texts are written as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [item if isinstance(item, str) else json.dumps(item) for item in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class Scene:
    """The folders of one run: a baseline of the first images, and whatever is captured."""

    def __init__(self, root: Path, *, tested: int = 300, source: Callable[[], list[Photo]] = photos) -> None:
        self.root = root
        self.inputs = Inputs(
            capture=root / "capture",
            baseline=root / "baseline",
            ground_truth=root / "ground-truth",
            history=root / "history",
        )
        self.output = root / "output"
        self.live = source()[tested:]
        write_baseline(root / "baseline", source()[:tested])

    def capture(self, shown: Sequence[Photo], *, name: str = "2026/01/31/12/one.jsonl") -> None:
        """Write a capture file with a request for each image; event ids are e0, e1, ..."""
        write_lines(self.inputs.capture / name, [one_image(f"e{index}", photo) for index, photo in enumerate(shown)])

    def choose(self, *, undecided_since: str = START, new_since: str = START) -> None:
        """Write window.json, as whoever chooses the window does."""
        content = {"undecided_since": undecided_since, "new_since": new_since}
        write_json(self.inputs.history / "inputs" / "window.json", content)

    def run(self, *, min_records: int = 50, since: str | None = None, end: str = END) -> Findings:
        """Run the monitor."""
        options = Options(
            endpoint="imgpipe-dev", version="3", start=START, end=end, since=since, min_records=min_records
        )
        return monitor(self.inputs, options, self.output)

    def result(self) -> dict[str, Any]:
        """Return monitor.json."""
        content: dict[str, Any] = json.loads((self.output / "monitor.json").read_text(encoding="utf-8"))
        return content

    def page(self) -> str:
        """Return monitor.html."""
        return (self.output / "monitor.html").read_text(encoding="utf-8")
