"""Command lines of containers: every mistake is one line that names the argument and what it takes."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import NoReturn

from common.contract import ContainerError


class ContainerParser(argparse.ArgumentParser):
    """An ArgumentParser that raises ContainerError, so that the reason reaches SageMaker and not only stderr."""

    def __init__(self, *, program: str, description: str) -> None:
        super().__init__(prog=program, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise ContainerError instead of printing the usage and leaving with 2."""
        raise ContainerError(f"{self.prog}: {message}; see --help for the arguments")


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return an argparse type: a whole number from ``low`` to ``high``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, got {text!r}")
        return value

    return parse


def fraction_below_one(text: str) -> float:
    """Parse a fraction from 0 up to but not including 1 (an argparse type)."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 up to but not including 1, got {text!r}")
    return value


def fraction(text: str) -> float:
    """Parse a fraction from 0 to 1 (an argparse type)."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
