"""Diagnose an image before it is enhanced: saturation, exposure, signal to noise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf, isnan, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.arrays.fill import fill_mask, find_fill
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import ImageIndex
from napari_noiser.arrays.sampling import SampledPlane, sample_planes
from napari_noiser.camera.banding import BandingStrength, banding_strength
from napari_noiser.camera.correlation import Whiteness, noise_correlation
from napari_noiser.camera.noise_variance import noise_variance, signal_to_noise, variance

_SATURATED = 1e-4  # of the values: a field's bright spots matter, a few hot pixels do not
_CLIPPED_RATIO = 4  # values at the maximum over those just below it: tails thin out
_MIN_CLIPPED = 5  # values at the maximum
_JUST_BELOW = 0.02  # of the range, below the maximum

_MIDTONES = (1 / 3, 2 / 3)  # the result's mean is 1/2
_WIDE_SPREAD = 0.5 / sqrt(12)  # half the deviation of values that are level from black to white
_DISPLAY_RANGE = (0.1, 99.9)  # percentiles, as in contrast_limits

_FILLED = 1e-3  # of the pixels: a border of a few matters, a speck does not

_CLEAN = 10.0  # signal to noise above which fine texture is taken for correlated noise
_NOISY = 1.0  # signal to noise below which most of what is stretched is noise


@dataclass(frozen=True)
class Diagnosis:
    """Saturation, exposure and noise of an image, estimated from a sample of it.

    Parameters
    ----------
    constant : bool
        Whether the values of each channel are all equal.
    saturated : float
        The fraction of values at the type's maximum, or clipped at their plane's own (12 bits in
        uint16), in [0, 1].
    mean, spread : float
        Mean and standard deviation (less the noise's) on the scale from black (0) to white (1)
        on which viewers show the image: for color the type's range ([0, 1] of floats), else the
        range that each channel uses, so that neither gain nor offset matters. NaN if unknown.
    planes : tuple of ImageIndex
        Which planes were sampled: the index along each axis but Y, X and S. Large planes are
        sampled in parts, and then occur repeatedly.
    signal_to_noise : tuple of float
        For each of them the standard deviation of structure over that of noise, estimated;
        NaN if unknown. See `napari_noiser.camera.noise_variance`.
    whiteness : Whiteness, optional
        The correlation of noise between neighbors, in one of the planes; None if unknown.
    filled : float
        The fraction of pixels that are fill, equal values in whole areas where there are no data,
        in [0, 1]. They do not count in all that is above.
    banding : BandingStrength
        The offsets of rows and columns in one of the planes; `whiteness` is of what is left.
    """

    constant: bool
    saturated: float
    mean: float
    spread: float
    planes: tuple[ImageIndex, ...]
    signal_to_noise: tuple[float, ...]
    whiteness: Whiteness | None = None
    filled: float = 0.0
    banding: BandingStrength = field(default_factory=BandingStrength)

    @property
    def noisy(self) -> tuple[float, ...]:
        """The signal to noise of the planes where noise is stronger than structure."""
        return tuple(ratio for ratio in self.signal_to_noise if ratio < _NOISY)

    @property
    def noise_dominated(self) -> bool:
        """Whether noise is stronger than structure in at least half of the planes.

        The first and last planes of many stacks are empty: a few do not count.
        """
        return 2 * len(self.noisy) >= max(1, sum(not isnan(r) for r in self.signal_to_noise))

    @property
    def well_exposed(self) -> bool:
        """Whether most tones are neither dark nor bright, and spread far enough to be seen."""
        return _MIDTONES[0] <= self.mean <= _MIDTONES[1] and self.spread >= _WIDE_SPREAD

    def remarks(self) -> list[str]:
        """Return the findings and their meaning for the result: a sentence each, often none."""
        if self.constant:
            return ["All values sampled are equal: there is no signal, and the result is flat."]
        remarks = []
        if self.filled >= _FILLED:
            remarks.append(
                f"{100 * self.filled:.2g} % of the pixels hold equal values in whole areas, as "
                "where there are no data: they are left out of all statistics."
            )
        if self.saturated >= _SATURATED:
            remarks.append(
                f"{100 * self.saturated:.2g} % of the values are saturated: what differed there "
                "is lost, and the result cannot bring it back."
            )
        if self.well_exposed:
            remarks.append(
                f"The image is already well exposed (mean {self.mean:.2f}, spread "
                f"{self.spread:.2f} on a scale from black to white): the result would rewrite its "
                "tones and hardly show more."
            )
        if self.noise_dominated:
            remarks.append(
                f"Noise is stronger than structure{self._where()}: estimated signal to noise "
                f"{_format_range(self.noisy)}. It is amplified with the signal, unless the model "
                "takes it out (structured, or fitted), and texture in the result may be noise."
            )
        remarks += filter(None, [self.banding.remark()])
        if self.whiteness is not None and min(self.signal_to_noise) < _CLEAN:
            remarks += filter(None, [self.whiteness.remark()])
        return remarks

    def _where(self) -> str:
        if len(self.planes) == 1:
            return ""
        unit = "planes" if len(set(self.planes)) == len(self.planes) else "parts"
        return f" in {len(self.noisy)} of {len(self.planes)} {unit} sampled"


@dataclass(frozen=True)
class _PlaneSample:
    """Some finite values of a plane, flat, and its variances."""

    values: NDArray[np.float64]
    saturated: int
    variance: float
    noise_variance: float


def diagnose(image: ArrayLike, *, axes: str | None = None) -> Diagnosis:
    """Diagnose whether an image is constant, saturated, well exposed or mostly noise.

    All but the scale of color images is independent of the camera's gain and offset.

    Parameters
    ----------
    image : array, 2 to 6 dimensions
        Integers or floats of any size. Of a large or lazy one, at most 8 planes (or chunks of
        planes) are read. NaN and inf are left out.
    axes : str, optional
        One letter an axis, as in `enhance`.

    Returns
    -------
    Diagnosis
        Its method ``remarks()`` returns it in sentences.

    Raises
    ------
    InputTypeError, InputError
        If the image does not hold integers or floats, is empty or 0-d, or the axes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> diagnose(np.full((20, 20), 7)).remarks()
    ['All values sampled are equal: there is no signal, and the result is flat.']
    """
    stack = ImageArray.from_array(image, axes)
    planes, channels = [], defaultdict(list)
    whiteness, banding = None, BandingStrength()
    sampled, filled = _without_fill(list(sample_planes(stack)))
    for plane in sampled:
        if whiteness is None:
            whiteness, banding = _whiteness(plane)
        part = _sample(plane, _dtype_maximum(stack))
        planes.append((plane.image, part))
        if part.values.size:
            channels[stack.layout.group(plane.image, "stack")].append(part)
    mean, spread = _tones([_displayed(parts, _color_scale(stack)) for parts in channels.values()])
    count = sum(part.values.size for _, part in planes)
    return Diagnosis(
        constant=bool(channels) and all(map(_is_constant, channels.values())),
        saturated=sum(part.saturated for _, part in planes) / max(count, 1),
        mean=mean,
        spread=spread,
        planes=tuple(index for index, _ in planes),
        signal_to_noise=tuple(
            signal_to_noise(part.variance, part.noise_variance) for _, part in planes
        ),
        whiteness=whiteness,
        filled=filled,
        banding=banding,
    )


def _without_fill(planes: list[SampledPlane]) -> tuple[list[SampledPlane], float]:
    """Return planes with NaN where they are fill, and the fraction of pixels that are."""
    fill = find_fill(plane.values for plane in planes)
    masks = [fill_mask(plane.values, fill) for plane in planes]
    kept = [
        replace(plane, values=np.where(mask, np.nan, plane.values)) if mask.any() else plane
        for plane, mask in zip(planes, masks, strict=True)
    ]
    pixels = sum(mask.size for mask in masks)
    return kept, sum(int(mask.sum()) for mask in masks) / max(pixels, 1)


def _whiteness(plane: SampledPlane) -> tuple[Whiteness | None, BandingStrength]:
    """Return the correlation of a plane's noise, None if it is too small or has none.

    Of what is left without banding, whose pixels are alike along a whole line.
    """
    banding = banding_strength(plane.values[0])
    try:
        return noise_correlation(banding.without(plane.values[0])), banding
    except ValueError:
        return None, banding


def _sample(plane: SampledPlane, maximum: float) -> _PlaneSample:
    thin = plane.values[:, :: plane.step, :: plane.step]
    values = thin[~np.isnan(thin)]
    return _PlaneSample(
        values,
        _count_saturated(values, maximum),
        variance(plane.values, plane.step),
        noise_variance(plane.values, plane.step),
    )


def _count_saturated(values: NDArray[np.float64], maximum: float) -> int:
    """Return the number of values at the dtype's maximum, or clipped at their own."""
    if not values.size or values.min() == (top := values.max()):
        return int(np.count_nonzero(values >= maximum))
    at_top = int(np.count_nonzero(values == top))
    if top >= maximum:
        return at_top
    if at_top < _MIN_CLIPPED:
        return 0
    below = min(values[values < top].max(), top - _JUST_BELOW * (top - values.min()))
    just_below = np.count_nonzero(values >= below) - at_top
    return at_top if at_top >= _CLIPPED_RATIO * just_below else 0


def _dtype_maximum(stack: ImageArray) -> float:
    dtype = np.dtype(stack.array.dtype)
    return float(np.iinfo(dtype).max - stack.integer_offset) if dtype.kind in "ui" else inf


def _is_constant(parts: Sequence[_PlaneSample]) -> bool:
    first = parts[0].values[0]
    return all(bool((part.values == first).all()) for part in parts)


def _color_scale(stack: ImageArray) -> tuple[float, float] | None:
    """Return what viewers show as black and white in color images; None for gray."""
    if stack.layout.samples == 1:
        return None
    floats = np.dtype(stack.array.dtype).kind == "f"
    return float(-stack.integer_offset), 1.0 if floats else _dtype_maximum(stack)


def _displayed(
    parts: Sequence[_PlaneSample], scale: tuple[float, float] | None
) -> tuple[NDArray[np.float64], float]:
    """Return a channel's values as displayed, in [0, 1], and the noise's variance there."""
    values = np.concatenate([part.values for part in parts])
    black, white = scale or np.percentile(values, _DISPLAY_RANGE)
    if not black < white:
        black, white = values.min(), values.max()
    if not black < white:
        return np.zeros(0), 0.0
    noise = [each for part in parts if not isnan(each := part.noise_variance)]
    shown = ((values - black) / (white - black)).clip(0, 1)
    return shown, float(np.mean(noise or 0)) / (white - black) ** 2


def _tones(channels: Sequence[tuple[NDArray[np.float64], float]]) -> tuple[float, float]:
    """Return the mean of all displayed values, and their deviation less the noise's."""
    shown = np.concatenate([np.zeros(0), *(values for values, _ in channels)])
    if not shown.size:
        return nan, nan
    noise = sum(values.size * noise for values, noise in channels) / shown.size
    return float(shown.mean()), sqrt(max(float(shown.var()) - noise, 0.0))


def _format_range(numbers: Sequence[float]) -> str:
    ends = [f"{number:.1f}" for number in (min(numbers), max(numbers))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
