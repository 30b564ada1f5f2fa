"""How thorough the faults are: a sample of them, or with NAPARI_NOISER_FAULTS=all each of them."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def thorough() -> bool:
    """Return whether each fault is to be tried, which takes minutes."""
    return os.environ.get("NAPARI_NOISER_FAULTS") == "all"
