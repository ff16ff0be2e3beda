"""Lines and files that could not be used: all counted, the first ones of each kind named."""

from __future__ import annotations

from dataclasses import dataclass, field

NAMED = 8


@dataclass
class Problems:
    """Kind -> how often it occurred, and where: NAMED places of each kind at most, as they came."""

    counts: dict[str, int] = field(default_factory=dict)
    places_of: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, place: str, reason: str) -> None:
        """Count one problem of ``kind`` at ``place``, a file and line."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        named = self.places_of.setdefault(kind, [])
        if len(named) < NAMED:
            named.append(f"{place}: {' '.join(reason.split())}")

    @property
    def places(self) -> list[str]:
        """All places that are named."""
        return [place for named in self.places_of.values() for place in named]

    @property
    def total(self) -> int:
        """All problems."""
        return sum(self.counts.values())
