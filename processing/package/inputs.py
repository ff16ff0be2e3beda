"""What a packaging job gets: the folders of the steps before it, and its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from package.bundle import Network


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The folders that the steps before have filled; ``validation`` need not exist."""

    model: Path
    evaluation: Path
    dataset: Path
    test: Path
    validation: Path

    @property
    def archive(self) -> Path:
        """The training artifact."""
        return self.model / "model.tar.gz"

    @property
    def test_records(self) -> Path:
        """The packed test images."""
        return self.test / "test.rec"

    @property
    def validation_records(self) -> Path:
        """The packed validation images, where there are any."""
        return self.validation / "validation.rec"


@dataclass(frozen=True, kw_only=True)
class Options:
    """In which precision to serve, what accuracy int8 may cost and must have, what the training job was asked for."""

    precision: str
    max_accuracy_drop: float
    min_accuracy: float = 0.0
    network: Network
