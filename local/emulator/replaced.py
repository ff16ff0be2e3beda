"""Puts other values in the place of attributes for a while: how the emulator completes moto."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ABSENT = object()


@contextmanager
def replaced(owner: Any, **values: Any) -> Iterator[None]:
    """While open, `owner` (a class, a module) has these attributes; those that it lacked go again."""
    earlier = {name: vars(owner).get(name, _ABSENT) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in earlier.items():
            if value is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
