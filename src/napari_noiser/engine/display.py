"""How light is shown: black, white and gamma, found robustly; and limits for other displays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from napari_noiser.arrays.sampling import sample_values
from napari_noiser.engine.plan import Plan

Floats = NDArray[np.float64]

_BLACK, _WHITE = 0.5, 99.8  # percentiles of the light
_SIGNIFICANT = 5.0  # deviations of an empty background's light, above which there is structure
_BRIGHT = 90.0  # percentile of sparse structure, which a few saturated stars do not reach
_FEWEST = 20  # values that are structure and no outlier
_LEAST_SPAN = 1.0  # standard deviations of the noise taken out that black and white are apart
_FAINT_SHOWN = 0.15  # at least, of the median of structure: what gamma is for
_SKY_SHOWN = 0.1  # at most, of the background
_LEAST_GAMMA = 0.4

_BINS = 256


@dataclass(frozen=True)
class LightDisplay:
    """What light is shown as: black below `black`, white above `white`, a power in between.

    Attributes
    ----------
    black, white : tuple of float
        In the image's units, for each sample. All samples have one span, so that colors are kept.
    gamma : float
        The power, 1 or less: below 1 what is faint is lifted.
    """

    black: tuple[float, ...]
    white: tuple[float, ...]
    gamma: float

    def apply(self, light: Floats) -> Floats:
        """Return light of shape (samples, ...) as it is shown, in [0, 1]."""
        shape = (-1, *(1,) * (light.ndim - 1))
        black, white = (np.reshape(each, shape) for each in (self.black, self.white))
        shown = ((light - black) / (white - black)).clip(0.0, 1.0)
        return np.asarray(shown if self.gamma == 1 else shown**self.gamma)

    @classmethod
    def of(
        cls, light: Sequence[Floats], noise: float = 0.0, gamma: float | None = None
    ) -> LightDisplay | None:
        """Find black, white and gamma for light; None if it is nowhere finite.

        Parameters
        ----------
        light : sequence of array, shape (samples, ...)
            Parts of it; what is not finite does not count.
        noise : float
            The standard deviation of the noise that was taken out.
        gamma : float, optional
            The power, if it is not to be found.

        Notes
        -----
        Black is the .5th percentile, white the 99.8th. Where less than that is structure, as among
        a few stars, white is a high percentile of what stands out of the background. They are as
        far apart as the noise was wide at least, so that what is left of it is not taken for
        structure. Structure that is faint beside the brightest is lifted by gamma until its median
        is seen, the background not.
        """
        values = np.concatenate([each.reshape(len(each), -1) for each in light], axis=1)
        values = values[:, np.isfinite(values).all(axis=0)]
        if not values.size:
            return None
        black = np.percentile(values, _BLACK, axis=1)
        above = values - black[:, None]
        sky, span, found = _range_of(above.mean(axis=0), above.max(axis=0))
        if span < _LEAST_SPAN * noise:
            span = _LEAST_SPAN * noise
            black += max(0.0, sky - _SKY_SHOWN * span)
        span = span or 1.0
        white = tuple(float(each) for each in black + span)
        return cls(tuple(map(float, black)), white, found if gamma is None else gamma)


def _range_of(above: Floats, brightest: Floats) -> tuple[float, float, float]:
    """Return the background, the white and the gamma of light above black.

    Parameters
    ----------
    above, brightest : array, shape (n,)
        The mean and the maximum of the samples of each pixel.
    """
    low, sky = (float(each) for each in np.percentile(above, (16, 50)))
    structure = above > sky + _SIGNIFICANT * (sky - low)
    span = float(np.percentile(brightest, _WHITE))
    if _FEWEST <= np.count_nonzero(structure) < (1 - _WHITE / 100) * len(above):
        span = max(span, float(np.percentile(brightest[structure], _BRIGHT)))
    if not 0 < sky < span or not structure.any():
        return sky, span, 1.0
    faint = min(float(np.median(above[structure])) / span, 1.0)
    gamma = log(_FAINT_SHOWN) / log(faint) if faint < _FAINT_SHOWN else 1.0
    darkest = log(_SKY_SHOWN) / log(sky / span)
    return sky, span, max(gamma, min(1.0, darkest), _LEAST_GAMMA)


def adjust(shown: Floats, brightness: float, contrast: float) -> Floats:
    """Return a display in [0, 1] brighter or with more contrast, black and white as they were.

    A value u is the response artanh(2 u - 1), to which both do what they do to a network's:
    ``(tanh(contrast * response + brightness) + 1) / 2``.
    """
    if brightness == 0 and contrast == 1:
        return shown
    return np.asarray(expit(contrast * logit(shown) + 2 * brightness))


def noise_taken_out(residual: Floats) -> float:
    """Return the standard deviation of what denoising took out, but for its largest hundredth."""
    square = np.square(residual[np.isfinite(residual)])
    return float(square[square <= np.quantile(square, 0.99)].mean() ** 0.5) if square.size else 0.0


@dataclass(frozen=True)
class ViewRange:
    """What a viewer shows as black and as white, and the power in between."""

    black: float
    white: float
    gamma: float = 1.0

    @property
    def limits(self) -> tuple[float, float]:
        """Contrast limits."""
        return self.black, self.white


def view_range(plan: Plan, result: Any, raw: Any) -> ViewRange:
    """Return how a viewer shows a result best.

    A display of light is shown as it is, and light so that it looks the same. Gray world lifts a
    black background to mid-gray, which looks like fog: of other displays see `contrast_limits`.

    Parameters
    ----------
    plan : Plan
        Of the result, calibrated.
    result, raw : array
        The result, and what it was made of. They are sampled, not read whole.
    """
    full = 1.0 if result.dtype.kind == "f" else float(np.iinfo(result.dtype).max)
    color = "S" in plan.image.layout.axes
    if plan.shows_light or (color and plan.verb == "enhance"):
        return ViewRange(0.0, full)
    if plan.verb == "enhance":
        return ViewRange(*contrast_limits(result))
    light, before = (
        values.astype(np.float64)
        for values in sample_values(result, raw, layout=plan.image.layout)
    )
    if color and light.size and light.max() > 0:  # other limits would shift the colors
        return ViewRange(0.0, float(np.nanpercentile(light, 99.9)) or float(np.nanmax(light)))
    finite = np.isfinite(light)
    found = LightDisplay.of([light[None, finite]], noise_taken_out(before - light))
    if found is None:
        return ViewRange(0.0, full)
    return ViewRange(found.black[0], found.white[0], found.gamma)


def contrast_limits(result: Any) -> tuple[float, float]:
    """Return contrast limits for a display of one sample whose background is gray.

    Where the values have a long tail above one crowded level (cells on glass, stars on sky), that
    level is the background and becomes the lower limit; otherwise the darkest percent does. The
    upper limit leaves the brightest 0.1 % out. What is not finite does not count, nor 0 in
    integers, which stands for NaN.

    Parameters
    ----------
    result : array
        Of any type, from 0 to 1 or its type's maximum. It is sampled, not read whole.
    """
    full = 1.0 if result.dtype.kind == "f" else float(np.iinfo(result.dtype).max)
    values = sample_values(result)[0]
    known = values > 0 if result.dtype.kind in "ui" else np.isfinite(values)
    sample = values[known].astype(np.float64)
    if sample.size == 0 or sample.min() == sample.max():
        return 0.0, full
    darkest, upper = np.percentile(sample, (1, 99.9))
    background = _crowded_level(sample)
    lower = background if upper - background > 3 * (background - darkest) else darkest
    if not lower < upper:
        lower, upper = sample.min(), sample.max()
    return float(lower), float(upper)


def _crowded_level(sample: NDArray[np.float64]) -> float:
    """Return the mode of a smoothed histogram."""
    counts, edges = np.histogram(sample, _BINS)
    smooth = np.convolve(counts, np.ones(5), mode="same")
    peak = int(np.argmax(smooth))
    return float((edges[peak] + edges[peak + 1]) / 2)
