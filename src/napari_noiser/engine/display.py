"""How light is shown: black, white and gamma, found robustly; and limits for other displays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from napari_noiser.arrays.chunks import relative_to, widen
from napari_noiser.arrays.fill import FILL_REACH, Fill, fill_mask
from napari_noiser.arrays.image_array import is_dask
from napari_noiser.arrays.layout import Layout, Slices
from napari_noiser.arrays.reader import read_region
from napari_noiser.arrays.sampling import group_windows, sample_values
from napari_noiser.engine.plan import Plan

Floats = NDArray[np.float64]

_BLACK, _WHITE = 0.5, 99.8  # percentiles of the light
_SIGNIFICANT = 5.0  # deviations of an empty background's light, above which there is structure
_SPARSE = 0.06  # of the pixels: less structure than that are stars or spots
_BLOCK = 16  # pixels a side, of which a star fills few and its halo some
_BRIGHT = 85.0  # percentile of the brightest of the blocks that hold structure
_OUTSHINING = 5.0  # times the middle one of these: what is brighter may be white
_FEWEST = 4  # blocks that tell
_FEW = 0.05  # of the blocks, which may not flatten all others
_OUTSHONE = 0.2  # of white, where what is no noise would hardly be seen
_LEAST_SPAN = 1.0  # standard deviations of the noise taken out that black and white are apart
_FAINT_SHOWN = 0.15  # at least, of the median of structure: what gamma is for
_SKY_SHOWN = 0.1  # at most, of the background
_LEAST_GAMMA = 0.4
_BELOW, _ABOVE = 1.0, 3.0  # standard deviations from the mean, where nothing else is known

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
        light : sequence of array, shape (samples, Y, X)
            Parts of it; what is not finite does not count.
        noise : float
            The standard deviation of the noise that was taken out.
        gamma : float, optional
            The power, if it is not to be found.

        Notes
        -----
        Black is the .5th percentile, white the 99.8th. Where there is little structure, as among
        stars, or something outshines nearly all of it, as a saturated star does, white is a high
        percentile of the brightest in blocks that have structure; but not of a few blocks that
        outshine a nebula or haze around them, which is then shown. They are as far apart as the
        noise was wide at least, so that what is left of it is not taken for structure. Structure
        that is faint beside the brightest is lifted by gamma until its median is seen, the
        background not.
        """
        values = np.concatenate([each.reshape(len(each), -1) for each in light], axis=1)
        values = values[:, np.isfinite(values).all(axis=0)]
        if not values.size:
            return None
        black = np.percentile(values, _BLACK, axis=1)
        above = values - black[:, None]
        sky, threshold = _background(above.mean(axis=0))
        structure = above.mean(axis=0) > threshold
        blocks = np.concatenate([_blocks(each - black[:, None, None]) for each in light])
        span = _white(above.max(axis=0), blocks, threshold, float(structure.mean()))
        rest = float(np.percentile(above.max(axis=0)[~structure], _WHITE))
        outshone = noise < rest < _OUTSHONE * span
        if outshone and np.mean(blocks.max(axis=1, initial=0.0) > threshold) < _FEW:
            span = rest
        if span < _LEAST_SPAN * noise:
            span = _LEAST_SPAN * noise
            black += max(0.0, sky - _SKY_SHOWN * span)
        span = span or 1.0
        if gamma is None:
            faint = float(np.median(above.mean(axis=0)[structure])) if structure.any() else span
            gamma = _gamma(sky / span, faint / span)
        return cls(tuple(map(float, black)), tuple(map(float, black + span)), gamma)

    @classmethod
    def around(
        cls, mean: Floats, deviation: Floats, noise: float, gamma: float | None = None
    ) -> LightDisplay:
        """Return black and white for light of which only its moments are known.

        Parameters
        ----------
        mean, deviation : array, shape (samples,)
            Mean and standard deviation of each sample.
        noise : float
            The standard deviation of the noise that was taken out.
        gamma : float, optional
            The power; 1 if left out.

        Notes
        -----
        Black lies a standard deviation below the mean, white three above: whatever share of the
        light a background has, it is dark, and what lies on it is bright.
        """
        black = mean - _BELOW * deviation
        span = (_BELOW + _ABOVE) * float(deviation.max())
        if span < _LEAST_SPAN * noise:
            span = _LEAST_SPAN * noise
            black = np.maximum(black, mean - _SKY_SHOWN * span)
        span = span or 1.0
        power = 1.0 if gamma is None else gamma
        return cls(tuple(map(float, black)), tuple(map(float, black + span)), power)


def _background(above: Floats) -> tuple[float, float]:
    """Return the median, and the level above which there is structure, of light above black."""
    low, sky = (float(each) for each in np.percentile(above, (16, 50)))
    return sky, sky + _SIGNIFICANT * (sky - low)


def _blocks(light: Floats) -> Floats:
    """Return blocks of light (samples, Y, X), whole ones alone: (blocks, pixels)."""
    rows, columns = (length // _BLOCK for length in light.shape[1:])
    cut = light[:, : rows * _BLOCK, : columns * _BLOCK].max(axis=0)
    blocks = cut.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    return np.asarray(np.nan_to_num(blocks.reshape(-1, _BLOCK**2), nan=-np.inf))


def _white(brightest: Floats, blocks: Floats, threshold: float, structure: float) -> float:
    """Return the light above black that is white.

    Parameters
    ----------
    brightest : array, shape (n,)
        All light above black.
    blocks : array, shape (blocks, pixels)
        The same in blocks.
    threshold, structure : float
        Above which level there is structure, and how much of all light.
    """
    white = float(np.percentile(brightest, _WHITE))
    maxima = blocks.max(axis=1, initial=-np.inf)
    significant = maxima[maxima > threshold]
    if len(significant) < _FEWEST:
        return white
    most = _OUTSHINING * float(np.median(significant))
    high = min(float(np.percentile(significant, _BRIGHT)), most)
    return high if structure < _SPARSE or white > most else white


def _gamma(sky: float, faint: float) -> float:
    """Return the power that shows faint structure, but not the sky, both in shares of white."""
    gamma = log(_FAINT_SHOWN) / log(faint) if 0 < faint < _FAINT_SHOWN else 1.0
    darkest = log(_SKY_SHOWN) / log(sky) if 0 < sky < 1 else 0.0
    return max(gamma, min(1.0, darkest), _LEAST_GAMMA)


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
    light, before = _counted_parts(plan, result, raw)
    if color:  # other limits would shift the colors
        values = np.concatenate([part.ravel() for part in light])
        known = values[np.isfinite(values)]
        white = float(np.percentile(known, 99.9)) if known.size else 0.0
        return ViewRange(0.0, white or full)
    taken = [(one - other).ravel() for one, other in zip(before, light, strict=True)]
    found = LightDisplay.of(light, noise_taken_out(np.concatenate(taken)))
    if found is None:
        return ViewRange(0.0, full)
    return ViewRange(found.black[0], found.white[0], found.gamma)


def _counted_parts(plan: Plan, result: Any, raw: Any) -> tuple[list[Floats], list[Floats]]:
    """Return windows of the channels of a result and of its image, each (samples, Y, X).

    What is fill or left out by the mask is NaN in both, unless nothing else lies in the windows.
    """
    layout = plan.image.layout
    full = {letter: slice(0, n) for letter, n in zip(layout.axes, layout.shape, strict=True)}
    regions = [
        tuple({**full, **window}[letter] for letter in layout.axes)
        for window in group_windows(layout, "stack")
    ]
    reach = [FILL_REACH if any(plan.fills or ()) and a in "YX" else 0 for a in layout.axes]
    boxes = [widen(region, reach, layout.shape) for region in regions]
    light, before, counted = [], [], []
    windows = zip(regions, boxes, _read(result, regions), _read(raw, boxes), strict=True)
    for region, box, shown, wide in windows:
        inner = dict(zip(layout.axes, relative_to(region, box), strict=True))
        middle = (slice(None), inner["Y"], inner["X"])
        planes = _planes(wide, layout)
        light += [plane.astype(np.float64) for _, plane in _planes(shown, layout)]
        before += [plane[middle].astype(np.float64) for _, plane in planes]
        known = [~_fill_of(plan, channel, plane)[middle[1:]] for channel, plane in planes]
        if plan.mask is not None:
            beside = (part for a, part in zip(layout.axes, region, strict=True) if a != "S")
            masks = _planes(plan.mask.read(tuple(beside)), layout.without_samples)
            known = [one & (mask[0] != 0) for one, (_, mask) in zip(known, masks, strict=True)]
        counted += known
    if any(here.any() for here in counted):
        for part, here in zip((*light, *before), (*counted, *counted), strict=True):
            part[:, ~here] = np.nan
    return light, before


def _read(array: Any, boxes: Sequence[Slices]) -> list[NDArray[Any]]:
    """Return what boxes of an array hold; of dask's together, since a chunk may hold several."""
    if is_dask(array):
        import dask

        return [np.asarray(part) for part in dask.compute(*(array[box] for box in boxes))]
    return [read_region(array, box) for box in boxes]


def _planes(window: NDArray[Any], layout: Layout) -> list[tuple[int, NDArray[Any]]]:
    """Return the planes (samples, Y, X) of a window of all channels, and which each is of."""
    part = Layout(layout.axes, window.shape)
    whole = tuple(slice(0, length) for length in part.image_shape)
    return [
        (part.channel(image), part.read(window, image, whole)[: part.samples])
        for image in part.images()
    ]


def _fill_of(plan: Plan, channel: int, plane: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a plane (samples, Y, X) of a channel is fill."""
    return fill_mask(plane, plan.fills[channel] if plan.fills else Fill())


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
