"""Which requests the containers answered, how, and how long that took: what an endpoint's metrics are made of."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_KEPT: Final = 10_000  # of the newest requests: alarms look back on a few minutes


class RequestLog:
    """The newest requests that were answered, and those under way; safe to use from several threads."""

    def __init__(self, *, kept: int = _KEPT) -> None:
        self._answered: deque[dict[str, Any]] = deque(maxlen=kept)
        self._count = 0  # of all that were answered
        self._under_way: dict[int, tuple[str, float]] = {}  # variant and begin
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    @contextmanager
    def under_way(self, variant: str) -> Iterator[None]:
        """While open, a container works on a request."""
        with self._lock:
            number = next(self._numbers)
            self._under_way[number] = (variant, time.monotonic())
        try:
            yield
        finally:
            with self._lock:
                del self._under_way[number]

    def answered(self, variant: str, status: int, *, model_seconds: float, overhead_seconds: float) -> None:
        """Notes an answer with its container's status; what the container took, and what came on top of it."""
        with self._lock:
            self._count += 1
            self._answered.append(_entry(variant, status, model_seconds, overhead_seconds))

    def after(self, count: int) -> dict[str, Any]:
        """The requests that were answered after the first `count`, those under way, and how many there were so far.

        Each has variant, status (of the container; None while under way), model_seconds, overhead_seconds and the
        moment that this is of, `seen`, in seconds since the epoch.
        """
        with self._lock:
            now, forgotten = time.monotonic(), self._count - len(self._answered)
            return {
                "count": self._count,
                "answered": list(itertools.islice(self._answered, max(0, count - forgotten), None)),
                "under_way": [_entry(variant, None, now - begun, 0.0) for variant, begun in self._under_way.values()],
            }


def _entry(variant: str, status: int | None, model_seconds: float, overhead_seconds: float) -> dict[str, Any]:
    return {
        "variant": variant,
        "status": status,
        "model_seconds": model_seconds,
        "overhead_seconds": overhead_seconds,
        "seen": time.time(),
    }
