"""The endpoint's log of requests: what came after which count, and what is under way."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from local.endpoint.request_log import RequestLog


def note(log: RequestLog, *statuses: int) -> None:
    for status in statuses:
        log.answered("AllTraffic", status, model_seconds=0.1, overhead_seconds=0.01)


def statuses(told: dict[str, Any]) -> list[int]:
    return [item["status"] for item in told["answered"]]


def test_each_answer_is_told_once_to_who_remembers_the_count() -> None:
    log = RequestLog()
    assert log.after(0) == {"count": 0, "answered": [], "under_way": []}
    note(log, 200, 400)
    told = log.after(0)
    assert (statuses(told), told["count"]) == ([200, 400], 2)
    note(log, 500)
    assert statuses(log.after(told["count"])) == [500]
    assert statuses(log.after(0)) == [200, 400, 500], "somebody else hears of all of them"
    assert statuses(log.after(3)) == []


def test_the_oldest_are_forgotten() -> None:
    log = RequestLog(kept=2)
    note(log, 200, 201, 202, 203)
    assert (statuses(log.after(0)), statuses(log.after(3)), log.after(0)["count"]) == ([202, 203], [203], 4)


def test_a_request_is_under_way_until_its_container_answered_or_failed() -> None:
    log = RequestLog()
    with log.under_way("AllTraffic"):
        [waiting] = log.after(0)["under_way"]
        assert (waiting["variant"], waiting["status"]) == ("AllTraffic", None)
        assert waiting["model_seconds"] >= 0
    with pytest.raises(ValueError, match="broken"), log.under_way("AllTraffic"):
        raise ValueError("broken")
    assert log.after(0)["under_way"] == []


def test_answers_of_several_threads_are_all_counted() -> None:
    log = RequestLog()

    def work() -> None:
        for _ in range(200):
            with log.under_way("AllTraffic"):
                pass
            note(log, 200)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (log.after(0)["count"], len(log.after(1000)["answered"])) == (1600, 600)
