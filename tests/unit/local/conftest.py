"""An emulated account, and a laboratory for small pipelines in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_pipeline import Laboratory

from local.emulator.account import EmulatedAccount, emulated_account


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region="us-east-1") as opened:
        yield opened


@pytest.fixture
def laboratory(account: EmulatedAccount, tmp_path: Path) -> Laboratory:
    return Laboratory(account, tmp_path)
