"""The plugin's samples in small, for tests of what is done with them, not of what they are."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from napari_noiser.plugin import samples

__all__ = ["shrink_samples"]

_nuclei, _camera = cache(samples._nuclei), samples._camera


def shrink_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have 8 planes of 192 x 192 instead of 32 of 256 x 256, and a part of the Hubble field."""

    def part(photons: Any) -> Any:
        return _camera(photons if photons.ndim > 2 else photons[100:500, 100:500])

    monkeypatch.setattr(samples, "_nuclei", lambda *_, number: _nuclei((8, 192, 192), number // 4))
    monkeypatch.setattr(samples, "_camera", part)
