"""The rate of a fit: one cycle, up and down."""

from __future__ import annotations

from math import cos, pi

__all__ = ["cycle"]

_RISE = 0.1  # of one cycle, until the rate is highest
_LAST = 1e-3  # of the highest rate


def cycle(at: float) -> float:
    """Return the rate over its highest, at a share of all steps.

    A cosine up, a longer one down to nearly 0.
    """
    if at < _RISE:
        return (1 - cos(pi * at / _RISE)) / 2
    return (1 + cos(pi * (at - _RISE) / (1 - _RISE))) / 2 + _LAST
