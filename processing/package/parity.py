"""Asserts that the exported model answers as the trained one, on every test record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from common.contract import ContainerError
from evaluate.predict import POSITIVE, Predictions

# How far two probabilities of a class may lie apart.
TOLERANCE = 1e-4
# The noise of probabilities in single precision. Where MXNet's two best answers are closer than that, it has not chosen
# between them: another order of the same sums turns them round, MXNet's own on another processor included.
TIE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Parity:
    """``max_difference`` of a probability over all ``records``; ``ties`` of them were answered another way by noise."""

    records: int
    max_difference: float
    ties: int


def check_parity(trained: Predictions, exported: Predictions, records: Path, *, classes: list[str]) -> Parity:
    """Compare the answers of the trained model with those of the exported one to the same records.

    ContainerError, with the record and both values, where a probability differs by more than TOLERANCE, or where the
    most probable class does; with several labels, where the set of classes of at least 0.5 does. A tie counts as
    equal: trained probabilities less than TIE apart, or less than TIE from 0.5.
    """
    differences = np.abs(trained.probabilities - exported.probabilities)
    # A probability that is no number is not within any tolerance.
    worst = np.unravel_index(np.argmax(np.where(np.isnan(differences), np.inf, differences)), differences.shape)
    if not differences[worst] <= TOLERANCE:
        record, column = (int(place) for place in worst)
        raise _differ(
            records,
            record,
            f"probability {trained.probabilities[record, column]:.6f} of {classes[column]!r} with MXNet, "
            f"{exported.probabilities[record, column]:.6f} with ONNX Runtime, allowed is {TOLERANCE:g}",
        )
    other = np.flatnonzero((trained.chosen != exported.chosen).any(axis=1))
    for record in other.tolist():
        if _gap(trained, exported, record) >= TIE:
            answers = [_names(found.chosen[record], classes) for found in (trained, exported)]
            raise _differ(records, record, f"{answers[0]} with MXNet, {answers[1]} with ONNX Runtime")
    return Parity(records=len(differences), max_difference=float(differences.max()), ties=len(other))


def _gap(trained: Predictions, exported: Predictions, record: int) -> float:
    """How clearly MXNet preferred its own answer to this record over that of the exported model."""
    probabilities = trained.probabilities[record]
    changed = probabilities[trained.chosen[record] != exported.chosen[record]]
    return float(np.abs(changed - POSITIVE).max() if trained.multi_label else np.ptp(changed))


def _names(chosen: npt.NDArray[np.bool_], classes: list[str]) -> str:
    return ", ".join(repr(name) for name, on in zip(classes, chosen, strict=True) if on) or "no class"


def _differ(records: Path, record: int, what: str) -> ContainerError:
    return ContainerError(
        f"the exported model answers another way than the trained one: record {record} of {records.name} is {what}; "
        "the network has an operator that is exported wrongly, use one of the networks of the trainer"
    )
