"""What suits an image, chosen by looking at a few of its planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser.arrays.layout import Colors
from napari_noiser.camera.banding import banding_strength
from napari_noiser.camera.correlation import Whiteness, noise_correlation
from napari_noiser.camera.noise_variance import noise_variance, signal_to_noise, variance

Floats = NDArray[np.float64]

_SIDE = 512  # pixels, of the middle of a plane
_BLOCK = 8
_DARK = 0.95  # of photographs by night few reach it; fluorescence in pure colors and stars do
_SHARED = 0.15  # a correlation
_PHOTOGRAPH = "brightened with its colors kept"

_LEVELS = ((0.5, "Very noisy"), (3.0, "Noisy"), (10.0, "A little noisy"))


@dataclass(frozen=True)
class Choice:
    """What was chosen for an image, and why.

    Attributes
    ----------
    model : str
        The name of the model; empty as long as it is not known.
    background : {"gray", "dark"}
        What a display makes of the background.
    colors : {"balanced", "kept"}
        What becomes of a color cast.
    reason : str
        Why, in a sentence.
    confidence : float
        How sure that is, from 0 to 1.
    signal_to_noise : float
        The standard deviation of structure over that of the noise; NaN if unknown.
    """

    model: str
    background: Literal["gray", "dark"]
    colors: Colors
    reason: str
    confidence: float
    signal_to_noise: float

    def to_dict(self) -> dict[str, Any]:
        """Return what a result's provenance says of it, as JSON-able values."""
        known = isfinite(self.signal_to_noise)
        return {
            "reason": self.reason,
            "confidence": round(self.confidence, 2),
            "signal_to_noise": round(self.signal_to_noise, 3) if known else None,
        }


def choose_for_planes(planes: Sequence[Floats]) -> Choice:
    """Choose what suits a channel, of which some planes (samples, Y, X) are given.

    What has one sample is shown on black; so is what has several, if most of it is as dark as the
    darkest, or its bright parts have pure colors, as those of fluorophores: else it is taken for
    a photograph.
    """
    middles = [_middle(plane, _SIDE) for plane in planes]
    with np.errstate(over="ignore", invalid="ignore"):  # of values that nothing can be made of
        ratio = _signal_to_noise(middles)
    darkness = max(map(_darkness, middles)) if len(middles[0]) > 1 else 2 * _DARK
    dark = darkness >= _DARK
    words = [_noise_in_words(ratio), "denoised, " + ("shown on black" if dark else _PHOTOGRAPH)]
    confidence = min(1.0, 0.5 + 0.5 * abs(darkness - _DARK) / _DARK)
    if any(map(_shares_noise, middles)):
        words.append("but pixels share noise with their neighbors, which is hardly taken out")
        confidence = min(confidence, 0.5)
    sentence = f"{words[0]}: {', '.join(words[1:])}."
    return Choice("", "dark" if dark else "gray", "kept", sentence, confidence, ratio)


def _noise_in_words(ratio: float) -> str:
    if not isfinite(ratio):
        return "No noise to be seen"
    level = next((words for most, words in _LEVELS if ratio < most), "Little noise")
    return f"{level} (signal to noise {ratio:.1f})"


def _middle(plane: Floats, side: int) -> Floats:
    rows, columns = (
        slice(max(0, (length - side) // 2), max(0, (length - side) // 2) + side)
        for length in plane.shape[1:]
    )
    middle = plane[:, rows, columns]
    return np.where(np.isfinite(middle), middle, np.nan)


def _signal_to_noise(planes: Sequence[Floats]) -> float:
    """Return the median of the planes' ratios; NaN if none is known."""
    found = [signal_to_noise(variance(plane), noise_variance(plane)) for plane in planes]
    known = [each for each in found if not np.isnan(each)]
    return float(np.median(known)) if known else float("nan")


def _darkness(plane: Floats) -> float:
    """Return how much a plane of colors looks like light on black: the sum of two shares.

    Of its blocks, how many are as dark as the darkest, to a tenth of the range; and of the
    brightest fifth, how pure its colors are.
    """
    rows, columns = (max(1, length // _BLOCK) for length in plane.shape[1:])
    side = min(_BLOCK, *plane.shape[1:])
    cut = plane[:, : rows * side, : columns * side]
    blocks = cut.reshape(len(plane), rows, side, columns, side).mean(axis=(2, 4))
    colors = blocks.reshape(len(plane), -1)
    colors = colors[:, np.isfinite(colors).all(axis=0)]
    if not colors.size:
        return 0.0
    gray = colors.mean(axis=0)
    low, high = np.percentile(gray, (1, 99))
    dark = float(np.mean(gray - low < 0.1 * (high - low)))
    above = colors - np.percentile(colors, 1, axis=1, keepdims=True)
    bright = above[:, gray >= np.percentile(gray, 80)]
    most = bright.max(axis=0)
    known = most > 0
    purity = (most - bright.min(axis=0))[known] / most[known]
    return dark + (float(purity.mean()) if known.any() else 0.0)


def _shares_noise(plane: Floats) -> bool:
    """Return whether pixels share noise with their neighbors, as far as a small part tells."""
    try:
        middle = _middle(plane, _SIDE // 2)[0]
        found = noise_correlation(middle)
        if not _is_shared(found):
            return False
        banding = banding_strength(middle)
        return banding.found == "keep" or _is_shared(noise_correlation(banding.without(middle)))
    except InputError:
        return False


def _is_shared(found: Whiteness) -> bool:
    return found.correlated and abs(found.strongest) > _SHARED
