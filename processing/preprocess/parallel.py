"""Work on many items in threads while the results come in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# Enough to keep threads busy behind one slow image, few enough to bound memory.
IN_FLIGHT_PER_THREAD = 8


def ordered_map(function: Callable[[T], R], items: Iterable[T], *, threads: int) -> Iterator[R]:
    """Yield ``function(item)`` in the order of ``items``, computed by ``threads`` threads.

    At most ``IN_FLIGHT_PER_THREAD * threads`` results exist at a time. An exception of the function, or of the
    consumer, cancels what has not begun.
    """
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="pack") as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= IN_FLIGHT_PER_THREAD * threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
