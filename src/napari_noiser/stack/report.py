"""Whether light can be measured on: what denoising left of the flux, the scale and the noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.telling import Camera, each_camera
from napari_noiser.camera.whiteness import residual_whiteness
from napari_noiser.stack.axes import Layout, Region
from napari_noiser.stack.calibration import sampled_boxes
from napari_noiser.stack.linearity import linearity
from napari_noiser.stack.sampling import sampled_pairs
from napari_noiser.stack.values import Stack

__all__ = ["LightReport", "report"]

Floats = NDArray[np.float64]

_DARKEST = 0.02  # of the values: where light is counted from


@dataclass(frozen=True)
class LightReport:
    """What a denoised image kept of its raw data; ``dataclasses.asdict`` gives JSON-able values.

    Parameters
    ----------
    flux : float or None
        All light of the result over that of the raw data, 1 if none came or went. Light is counted
        from the darkest 2 % of the raw data. None if there is none above.
    slope : float or None
        As of `linearity`: 1 if twice the signal is twice as bright.
    correlation : float or None
        Of what was taken away, with itself a pixel or two off, the strongest, in [-1, 1]: 0 if it
        was white noise, positive if structure went with it, negative if noise was left in. None
        if the planes are too small, or nothing was taken.
    taken : float or None
        The standard deviation of what was taken away, over that of the camera's noise: 1 if it
        was all of the noise and nothing else. None without a camera.
    """

    flux: float | None
    slope: float | None
    correlation: float | None
    taken: float | None

    def remark(self) -> str:
        """Return what it says, in a sentence."""
        facts = []
        if self.flux is not None:
            facts.append(f"the result holds {100 * self.flux:.2f} % of the light")
        if self.slope is not None:
            facts.append(f"its brightness grows with the signal to the power of {self.slope:.2f}")
        if self.correlation is not None:
            white = "white" if abs(self.correlation) < 0.1 else "not white"
            facts.append(f"what was taken away is {white} (correlation {self.correlation:.2f})")
        if self.taken is not None:
            facts.append(f"and {self.taken:.2f} times the camera's noise")
        return f"Denoised light: {', '.join(facts) or 'nothing to be compared'}."


def report(
    raw: ArrayLike,
    result: ArrayLike,
    *,
    axes: str | None = None,
    camera: Camera = None,
) -> LightReport:
    """Report what denoising did to the light of an image.

    Parameters
    ----------
    raw : array, 2 to 6 dimensions
        The image.
    result : array
        What `enhance` made of it with ``output="intensity"``, of the same shape. Of large arrays
        about 2**18 pairs of values and a few planes of each channel count.
    axes : str, optional
        One letter an axis, as in `enhance`. Alpha is left out.
    camera : CameraNoise or sequence of CameraNoise, optional
        One for all, or one for each channel (C). With it, what was taken away is compared with
        the camera's noise at each brightness.

    Returns
    -------
    LightReport
        Perfect light has 1, 1, 0 and 1.

    Raises
    ------
    TypeError
        If an array does not hold integers or floats.
    ValueError
        If the shapes differ or the axes do not fit.

    See Also
    --------
    linearity : The same question, asked of a display.

    Examples
    --------
    >>> import numpy as np
    >>> light = np.full((64, 64), 50.0)
    >>> light[:, 32:] = 400.0
    >>> raw = np.random.default_rng(0).poisson(light)
    >>> found = report(raw, light, camera=CameraNoise(gain=1.0))
    >>> round(found.flux, 1), round(found.taken, 1)
    (1.0, 1.0)
    """
    x, y, zero = sampled_pairs(raw, result, axes)
    before, after = Stack.of(raw, axes), Stack.of(result, axes)
    cameras = each_camera(camera, dyes := before.layout.dyes) or (None,) * dyes
    taken = [
        plane
        for each in zip(sampled_boxes(before.layout), cameras, strict=True)
        for plane in _taken(before, after, *each)
    ]
    return LightReport(
        _flux(x + zero, y),
        linearity(raw, result, axes=axes).slope,
        _correlation(taken),
        _deviation(taken) if all(cameras) else None,
    )


def _flux(raw: Floats, result: Floats) -> float | None:
    if not len(raw):
        return None
    dark = float(np.quantile(raw, _DARKEST))
    light = float((raw - dark).mean())
    return float((result - dark).mean()) / light if light > 0 else None


def _taken(
    raw: Stack, result: Stack, boxes: Sequence[Region], camera: CameraNoise | None
) -> Iterator[Floats]:
    """Yield what was taken away in some boxes, over the noise's deviation where that is known."""
    for box in boxes:
        before, after = (_planes(each.array[box], each.layout) for each in (raw, result))
        noise = 1.0 if camera is None else np.sqrt(camera.variance(after))
        with np.errstate(invalid="ignore", divide="ignore"):
            residual = (before - after) / noise
        yield from np.where(np.isfinite(residual), residual, np.nan)


def _planes(part: ArrayLike, layout: Layout) -> Floats:
    stack = Stack.of(np.asarray(part), layout.axes, layout.ndim)
    (image,) = stack.layout.images()
    whole = tuple(slice(0, length) for length in stack.layout.image_shape)
    return stack.exact(stack.read(image, whole)) + stack.zero


def _correlation(planes: Sequence[Floats]) -> float | None:
    """Return the median of the planes' strongest correlations."""
    found = []
    for plane in planes:
        with suppress(ValueError):  # too small, or nowhere finite
            found.append(residual_whiteness(plane).strongest)
    return float(np.median(found)) if found else None


def _deviation(planes: Sequence[Floats]) -> float | None:
    values = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    return float(np.sqrt(np.square(values).mean())) if values.size else None
