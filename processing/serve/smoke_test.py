"""Container entry point: starts the server with a packaged model and has it classify the packaged sample.

Input `serving` holds model.tar.gz; output `smoke_test` gets smoke_test.json, which says what was answered and how fast.
"""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.arguments import ContainerParser
from common.contract import ContainerError, processing_input, processing_output, run
from common.files import write_json
from serve.archive import unpack
from serve.facts import SAMPLE_NAME
from serve.own_server import running_server
from serve.requests import CUSTOM_ATTRIBUTES

SCHEMA_VERSION = 1
OK = 200
REQUEST_SECONDS = 60.0
# Packaging reads the sample's record through another JPEG decoder, and int8 sums differ between processors. A wrong
# order of colours, scale or class moves a confident probability much further.
TOLERANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A request and the answer that the packaged model gave when it was made."""

    content_type: str
    body: str
    label: str
    probability: float


def main() -> None:
    """Test the model of the processing input; ContainerError where the server fails or answers something else."""
    ContainerParser(program="serve.smoke_test", description=__doc__ or "").parse_args()
    write_json(processing_output("smoke_test") / "smoke_test.json", smoke_test(processing_input("serving")))


def smoke_test(serving: Path) -> dict[str, Any]:
    """Return what the server answered for the sample in ``serving``/model.tar.gz; errors as `main`."""
    archive = serving / "model.tar.gz"
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        unpack(archive, root / "model")
        sample = _read_sample(root / "model" / SAMPLE_NAME)
        start = time.perf_counter()
        with running_server(root) as port:
            ready = time.perf_counter() - start
            plain = _ask(port, sample, attributes="")
            start = time.perf_counter()
            named = _ask(port, sample, attributes="verbose=true")
            latency = time.perf_counter() - start
    prediction = _checked(plain, named, sample)
    print(f"Smoke test: {prediction['label']} with probability {prediction['probability']:.4f}", flush=True)
    return {
        "schema_version": SCHEMA_VERSION,
        "label": prediction["label"],
        "probability": prediction["probability"],
        "expected_probability": sample.probability,
        "precision": named["model"]["precision"],
        "seconds_to_ready": ready,
        "latency_seconds": latency,
    }


def _read_sample(path: Path) -> Sample:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Sample(
            content_type=str(content["content_type"]),
            body=str(content["body"]),
            label=str(content["label"]),
            probability=float(content["probability"]),
        )
    except FileNotFoundError:
        raise ContainerError(f"model.tar.gz holds no {SAMPLE_NAME}: package the model again") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ContainerError(f"{SAMPLE_NAME} is malformed ({error}): package the model again") from None


def _ask(port: int, sample: Sample, *, attributes: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_SECONDS)
    try:
        headers = {"Content-Type": sample.content_type, CUSTOM_ATTRIBUTES: attributes}
        connection.request("POST", "/invocations", sample.body.encode(), headers)
        response = connection.getresponse()
        body = response.read()
        content_type = response.getheader("content-type")
        if response.status != OK:
            text = body.decode(errors="replace")
            raise ContainerError(f"smoke test: the server answered the sample with {response.status}: {text}")
        if content_type != "application/json":
            raise ContainerError(f"smoke test: the answer's type is {content_type}, application/json is expected")
        return json.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise ContainerError(f"smoke test: the server gave no whole answer for the sample: {error!r}") from None
    finally:
        connection.close()


def _checked(plain: Any, named: Any, sample: Sample) -> dict[str, Any]:
    prediction: dict[str, Any] = named["predictions"][0]
    if prediction["label"] != sample.label:
        raise ContainerError(
            f"smoke test: the sample is {sample.label!r}, the server calls it {prediction['label']!r}: the packaged "
            "model is not what was evaluated; package it again"
        )
    if abs(prediction["probability"] - sample.probability) > TOLERANCE:
        raise ContainerError(
            f"smoke test: the server gives {sample.label!r} a probability of {prediction['probability']:.4f}, "
            f"packaging got {sample.probability:.4f}, and {TOLERANCE} is allowed between them: package the model again"
        )
    probabilities = plain[0]
    if max(probabilities) != probabilities[prediction["index"]]:
        raise ContainerError("smoke test: the plain and the verbose answer name different classes")
    return prediction


if __name__ == "__main__":
    run(main, failure_file="message")
