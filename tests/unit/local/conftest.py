"""An emulated account, and a laboratory for small pipelines in it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_pipeline import Laboratory

from local.emulator.account import EmulatedAccount, emulated_account

# A shell starts background jobs with SIGINT ignored, programs inherit that, and tests of Ctrl-C would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def account() -> Iterator[EmulatedAccount]:
    with emulated_account(region="us-east-1") as opened:
        yield opened


@pytest.fixture
def laboratory(account: EmulatedAccount, tmp_path: Path) -> Laboratory:
    return Laboratory(account, tmp_path)
