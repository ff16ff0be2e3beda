"""All that one run of the monitor found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from monitor.baseline import Baseline
from monitor.capture import CaptureCounts, moment
from monitor.collect import Collection
from monitor.history import Point
from monitor.problems import Problems
from monitor.score import Score
from monitor.scores import Labelled, Summary
from monitor.window import Window

DRIFT, NO_DRIFT, TOO_FEW = "drift", "no_drift", "too_few"
# The 97.5th percentile of the normal distribution: intervals of 95 %.
NORMAL = 1.959964


@dataclass(frozen=True, kw_only=True)
class Options:
    """Arguments: names for the reader, the window in ISO 8601 and UTC, and how many distinct images it needs.

    ``model_name`` is what the live version's verbose answers call themselves, None where that is not known.
    """

    endpoint: str
    version: str
    start: str
    end: str
    since: str | None
    min_records: int
    model_name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Options, inputs and results; without enough images there are no scores, without any no summary.

    ``labelled`` are the images with ground truth, of this window and of the earlier ones whose answers are kept.
    """

    options: Options
    window: Window
    baseline: Baseline
    counts: CaptureCounts
    collection: Collection
    summary: Summary | None
    labelled: Labelled
    scores: list[Score]
    history: list[Point]
    problems: Problems

    @property
    def verdict(self) -> str:
        """DRIFT, NO_DRIFT or TOO_FEW."""
        if not self.scores:
            return TOO_FEW
        return DRIFT if self.drifted else NO_DRIFT

    @property
    def missing(self) -> int:
        """How many distinct images more a verdict needs."""
        return max(0, self.options.min_records - len(self.collection.samples))

    @property
    def undecided_hours(self) -> float:
        """For how many hours images have waited for a verdict; 0 where there is one, or no image."""
        if self.verdict != TOO_FEW or not self.collection.images:
            return 0.0
        return (moment(self.options.end) - moment(self.window.undecided_since)) / timedelta(hours=1)

    @property
    def leaves_out(self) -> bool:
        """Whether captures without a verdict lie before the window: it reaches only so far back."""
        return moment(self.window.undecided_since) < moment(self.options.start)

    @property
    def drifted(self) -> list[Score]:
        """The scores above their thresholds, the clearest first."""
        return sorted((score for score in self.scores if score.drifted), key=lambda score: -score.ratio)

    @property
    def drift_score(self) -> float | None:
        """The largest score in thresholds: above 1 is drift."""
        return max((score.ratio for score in self.scores), default=None)


def wilson_interval(labelled: Labelled) -> tuple[float, float]:
    """Return the 95 % interval of a share, of at least one image: E. B. Wilson (1927)."""
    count, share = labelled.size, labelled.right / labelled.size
    middle = share + NORMAL**2 / (2 * count)
    reach = NORMAL * math.sqrt(share * (1 - share) / count + NORMAL**2 / (4 * count**2))
    scale = 1 + NORMAL**2 / count
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)
