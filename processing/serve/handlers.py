"""The handlers of SageMaker's contract: /ping, /invocations and /execution-parameters.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html and, for the parameters,
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-batch-code.html.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator, Sequence

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from serve import answers
from serve.body import read_body
from serve.classifier import Classifier
from serve.errors import SERVICE_UNAVAILABLE, RefusedRequest
from serve.limits import ANSWER_SECONDS, MAX_REQUESTS, MEBIBYTE, TRANSFORM_MEGABYTES, Limits
from serve.requests import CUSTOM_ATTRIBUTES, WantedImage, images_of, wants_verbose

# Images of a list that go through the network together: enough to be fast, few enough to let others in between.
BATCH_SIZE = 8


class Handlers:
    """Answers requests with one model; ``name`` is the deployed model's, shown in verbose answers."""

    def __init__(self, classifier: Classifier, limits: Limits, *, name: str | None) -> None:
        self._classifier = classifier
        self._limits = limits
        self._name = name
        self._open_requests = 0

    async def ping(self, request: Request) -> Response:
        """Say that requests can be answered: the server starts after the model is loaded and has run."""
        return Response(b"")

    async def execution_parameters(self, request: Request) -> Response:
        """Tell a transform job how to send its objects: one image each, as many at once as there are cores."""
        megabytes = max(1, self._limits.payload_bytes // MEBIBYTE)
        at_once = min(len(os.sched_getaffinity(0)), max(1, TRANSFORM_MEGABYTES // megabytes))
        content = {
            "MaxConcurrentTransforms": at_once,
            "BatchStrategy": "SINGLE_RECORD",
            "MaxPayloadInMB": min(megabytes, TRANSFORM_MEGABYTES),
        }
        return _json_response(json.dumps(content).encode())

    async def invocations(self, request: Request) -> Response:
        """Classify the image or images of the body; RefusedRequest says why not."""
        if self._open_requests >= MAX_REQUESTS:
            message = f"{MAX_REQUESTS} requests are being answered already: try again in a moment"
            raise RefusedRequest("busy", message, status=SERVICE_UNAVAILABLE, closes=True)
        self._open_requests += 1
        try:
            return await self._answer(request)
        except asyncio.CancelledError:
            # The server has drained for as long as it may: an answer that can be tried again is better than none.
            message = "the server is stopping: send the request again"
            raise RefusedRequest("stopping", message, status=SERVICE_UNAVAILABLE) from None
        finally:
            self._open_requests -= 1

    async def _answer(self, request: Request) -> Response:
        body = await read_body(request, limit=self._limits.payload_bytes)
        content_type = request.headers.get("content-type", "")
        facts = self._classifier.facts
        wanted = await self._classifier.aside(lambda: images_of(body, content_type, facts))
        request.state.images = len(wanted.images)
        rows = await self._classify(request, wanted.images)
        if wants_verbose(request.headers.get(CUSTOM_ATTRIBUTES, "")):
            return _json_response(answers.verbose(rows, facts, name=self._name))
        return _json_response(answers.plain(rows, several=wanted.several))

    async def _classify(self, request: Request, images: Sequence[WantedImage]) -> list[answers.Row]:
        rows: list[answers.Row] = []
        deadline = time.monotonic() + ANSWER_SECONDS
        for batch in _batches(images):
            if rows and await request.is_disconnected():
                raise RefusedRequest("disconnected", "the client has gone")
            rows.extend(np.asarray(row) for row in await self._classifier.classify(batch, deadline=deadline))
        return rows


def _batches(images: Sequence[WantedImage]) -> Iterator[list[WantedImage]]:
    """Yield a few images at a time; a large one alone, for whoever asked may go away while it is decoded."""
    batch: list[WantedImage] = []
    for image in images:
        if batch and (image.large or batch[-1].large or len(batch) == BATCH_SIZE):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def _json_response(content: bytes) -> Response:
    # Exactly this type: with a parameter, data capture would not know it as JSON.
    return Response(content, headers={"content-type": "application/json"})
