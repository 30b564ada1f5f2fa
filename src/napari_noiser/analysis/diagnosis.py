"""What an image is like before it is enhanced, and what that means for the result."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.arrays.layout import ImageIndex
from napari_noiser.arrays.sampling import SampledPlane, sample_planes
from napari_noiser.camera.correlation import Whiteness, noise_correlation
from napari_noiser.camera.noise_variance import noise_variance, signal_to_noise, variance

__all__ = ["Diagnosis", "diagnose"]

_SATURATED = 1e-4  # of the values: a field's bright spots matter, a few hot pixels do not
_PILE = 4  # times as many values at the maximum as below it: tails thin out, they do not pile up
_PILE_LEAST = 5  # values: fewer are no pile
_BELOW = 0.02  # of the range: what counts as just below the maximum

_MIDTONES = (1 / 3, 2 / 3)  # the result's mean is 1/2
_WIDE = 0.5 / sqrt(12)  # half the deviation of values that are level from black to white
_USED = (0.1, 99.9)  # percentiles, as in display_limits

_NOISE_MATTERS = 10.0  # structure over noise: above it fine texture is taken for noise
_NOISY = 1.0  # structure over noise: below it most of what is stretched is noise


@dataclass(frozen=True)
class Diagnosis:
    """What a sample of an image tells.

    Parameters
    ----------
    constant : bool
        Whether the values of each channel are all equal.
    saturated : float
        The fraction of values at the type's maximum, or piled up at their plane's own (12 bits
        in uint16), in [0, 1].
    mean, spread : float
        Mean and standard deviation (less the noise's) on the scale from black (0) to white (1)
        on which viewers show the image: for color the type's range ([0, 1] of floats), else the
        range that each channel uses, so that neither gain nor offset matters. NaN where
        nothing is known.
    planes : tuple of ImageIndex
        Which planes were sampled: the index along each axis but Y, X and S. Large planes are
        sampled in parts, and then occur repeatedly.
    signal_to_noise : tuple of float
        For each of them the standard deviation of structure over that of noise, estimated;
        NaN where nothing is known. See `napari_noiser.camera.noise_variance`.
    whiteness : Whiteness, optional
        How the noise of one of the planes is correlated between neighbors; None where that
        cannot be told.
    """

    constant: bool
    saturated: float
    mean: float
    spread: float
    planes: tuple[ImageIndex, ...]
    signal_to_noise: tuple[float, ...]
    whiteness: Whiteness | None = None

    @property
    def noisy(self) -> tuple[float, ...]:
        """The signal to noise of those planes where noise is stronger than structure."""
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
        return _MIDTONES[0] <= self.mean <= _MIDTONES[1] and self.spread >= _WIDE

    def remarks(self) -> list[str]:
        """Return what was found and what it means for the result: a sentence each, often none."""
        if self.constant:
            return ["All values sampled are equal: there is no signal, and the result is flat."]
        found = []
        if self.saturated >= _SATURATED:
            found.append(
                f"{100 * self.saturated:.2g} % of the values are saturated: what differed there "
                "is lost, and the result cannot bring it back."
            )
        if self.well_exposed:
            found.append(
                f"The image is already well exposed (mean {self.mean:.2f}, spread "
                f"{self.spread:.2f} on a scale from black to white): the result would rewrite its "
                "tones and hardly show more."
            )
        if self.noise_dominated:
            found.append(
                f"Noise is stronger than structure{self._where()}: estimated signal to noise "
                f"{_span(self.noisy)}. It is amplified with the signal, unless the model takes it "
                "out (structured, or fitted), and texture in the result may be noise."
            )
        if self.whiteness is not None and min(self.signal_to_noise) < _NOISE_MATTERS:
            found += filter(None, [self.whiteness.remark()])
        return found

    def _where(self) -> str:
        if len(self.planes) == 1:
            return ""
        what = "planes" if len(set(self.planes)) == len(self.planes) else "parts"
        return f" in {len(self.noisy)} of {len(self.planes)} {what} sampled"


@dataclass(frozen=True)
class _Part:
    """What is kept of a sampled plane: some values, flat and finite, and its variances."""

    values: NDArray[np.float64]
    saturated: int
    total: float
    noise: float


def diagnose(image: ArrayLike, *, axes: str | None = None) -> Diagnosis:
    """Say whether an image is constant, saturated, already well exposed or mostly noise.

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
        Its method ``remarks()`` says it in sentences.

    Raises
    ------
    TypeError
        If the image does not hold integers or floats.
    ValueError
        If it is empty or 0-d, or the axes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> diagnose(np.full((20, 20), 7)).remarks()
    ['All values sampled are equal: there is no signal, and the result is flat.']
    """
    stack = ImageArray.from_array(image, axes)
    planes, channels = [], defaultdict(list)
    whiteness = None
    for plane in sample_planes(stack):
        whiteness = whiteness or _whiteness(plane)
        part = _examine_plane(plane, _largest(stack))
        planes.append((plane.image, part))
        if part.values.size:
            channels[stack.layout.group(plane.image, "stack")].append(part)
    mean, spread = _tones([_as_shown(parts, _color_scale(stack)) for parts in channels.values()])
    count = sum(part.values.size for _, part in planes)
    return Diagnosis(
        constant=bool(channels) and all(map(_is_constant, channels.values())),
        saturated=sum(part.saturated for _, part in planes) / max(count, 1),
        mean=mean,
        spread=spread,
        planes=tuple(index for index, _ in planes),
        signal_to_noise=tuple(signal_to_noise(part.total, part.noise) for _, part in planes),
        whiteness=whiteness,
    )


def _whiteness(plane: SampledPlane) -> Whiteness | None:
    """Return how a plane's noise is correlated, None if it is too small or has none."""
    try:
        return noise_correlation(plane.values[0])
    except ValueError:
        return None


def _examine_plane(plane: SampledPlane, largest: float) -> _Part:
    thin = plane.values[:, :: plane.step, :: plane.step]
    values = thin[~np.isnan(thin)]
    return _Part(
        values,
        _saturated(values, largest),
        variance(plane.values, plane.step),
        noise_variance(plane.values, plane.step),
    )


def _saturated(values: NDArray[np.float64], largest: float) -> int:
    """Return how many values lie at the type's maximum, or piled up at their own."""
    if not values.size or values.min() == (top := values.max()):
        return int(np.count_nonzero(values >= largest))
    piled = int(np.count_nonzero(values == top))
    if top >= largest:
        return piled
    if piled < _PILE_LEAST:
        return 0
    below = min(values[values < top].max(), top - _BELOW * (top - values.min()))
    return piled if piled >= _PILE * (np.count_nonzero(values >= below) - piled) else 0


def _largest(stack: ImageArray) -> float:
    dtype = np.dtype(stack.array.dtype)
    return float(np.iinfo(dtype).max - stack.integer_offset) if dtype.kind in "ui" else inf


def _is_constant(parts: Sequence[_Part]) -> bool:
    first = parts[0].values[0]
    return all(bool((part.values == first).all()) for part in parts)


def _color_scale(stack: ImageArray) -> tuple[float, float] | None:
    """Return what viewers show color samples from black to white on; None for gray."""
    if stack.layout.samples == 1:
        return None
    floats = np.dtype(stack.array.dtype).kind == "f"
    return float(-stack.integer_offset), 1.0 if floats else _largest(stack)


def _as_shown(
    parts: Sequence[_Part], scale: tuple[float, float] | None
) -> tuple[NDArray[np.float64], float]:
    """Return a channel's values as they are shown, in [0, 1], and the noise's variance there."""
    values = np.concatenate([part.values for part in parts])
    black, white = scale or np.percentile(values, _USED)
    if not black < white:
        black, white = values.min(), values.max()
    if not black < white:
        return np.zeros(0), 0.0
    noise = [part.noise for part in parts if not isnan(part.noise)]
    shown = ((values - black) / (white - black)).clip(0, 1)
    return shown, float(np.mean(noise or 0)) / (white - black) ** 2


def _tones(channels: Sequence[tuple[NDArray[np.float64], float]]) -> tuple[float, float]:
    """Return the mean of all values shown, and their standard deviation less the noise's."""
    shown = np.concatenate([np.zeros(0), *(values for values, _ in channels)])
    if not shown.size:
        return nan, nan
    noise = sum(values.size * noise for values, noise in channels) / shown.size
    return float(shown.mean()), sqrt(max(float(shown.var()) - noise, 0.0))


def _span(numbers: Sequence[float]) -> str:
    ends = [f"{number:.1f}" for number in (min(numbers), max(numbers))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
