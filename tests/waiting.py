"""Waiting for what others do."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

Found = TypeVar("Found")


def until(found: Callable[[], Found | None], what: str, seconds: float = 60, every_s: float = 0.02) -> Found:
    """What `found` returns, once that is something; the test fails if it is nothing for so many seconds."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(every_s)
    return value
