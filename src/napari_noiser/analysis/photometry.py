"""Photometry of denoised light: what denoising left of the flux, the scale and the noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser.analysis.linearity import measure_linearity
from napari_noiser.arrays.image_array import ImageArray, check_pair
from napari_noiser.arrays.layout import Slices
from napari_noiser.arrays.reader import read_region
from napari_noiser.camera.correlation import residual_whiteness
from napari_noiser.camera.noise_model import Camera, CameraNoise, broadcast_cameras
from napari_noiser.camera.outliers import repair_outliers
from napari_noiser.engine.calibration import sample_boxes, single_plane

Floats = NDArray[np.float64]

_DARKEST = 0.02  # of the values: the background, from which light is counted
_SQUARE = 8  # pixels a side
_NORMAL = 1.4826  # standard deviation over median absolute value, of normal noise


@dataclass(frozen=True)
class LightReport:
    """What denoising left of an image's light; ``dataclasses.asdict`` gives JSON-able values.

    Parameters
    ----------
    flux : float or None
        All light of the result over that of the raw data, 1 if it is conserved. Light is counted
        from the darkest 2 % of the raw data. None if there is none above.
    slope : float or None
        As of `measure_linearity`, by the means of 8 x 8 pixels: 1 if twice the signal is twice as
        bright.
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
        """Return the report in a sentence."""
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
    """Report what denoising left of an image's light.

    Parameters
    ----------
    raw : array, 2 to 6 dimensions
        The image.
    result : array
        What `denoise` returned for it, of the same shape. Of large arrays a few planes of each
        channel count.
    axes : str, optional
        One letter an axis, as in `enhance`. Alpha is left out.
    camera : CameraNoise or sequence of CameraNoise, optional
        One for all, or one for each channel (C). With it, what was taken away is compared with
        the camera's noise at each brightness, and outliers of the raw data count as repaired.

    Returns
    -------
    LightReport
        Perfect light has 1, 1, 0 and 1.

    Raises
    ------
    InputTypeError, InputError
        If an array does not hold integers or floats, the shapes differ or the axes do not fit.

    See Also
    --------
    napari_noiser.analysis.measure_linearity : The same question, asked of a display.

    Examples
    --------
    >>> import numpy as np
    >>> light = np.full((64, 64), 50.0)
    >>> light[:, 32:] = 400.0
    >>> raw = np.random.default_rng(0).poisson(light)
    >>> measured = report(raw, light, camera=CameraNoise(gain=1.0))
    >>> round(measured.flux, 1), round(measured.taken, 1)
    (1.0, 1.0)
    """
    before, after = check_pair(raw, result, axes)
    cameras = (
        broadcast_cameras(camera, n_channels := before.layout.n_channels) or (None,) * n_channels
    )
    channels = [
        _Channel.of(before, after, *each)
        for each in zip(sample_boxes(before.layout), cameras, strict=True)
    ]
    taken = [plane for channel in channels for plane in channel.taken]
    return LightReport(
        _flux(channels),
        _slope(channels),
        _correlation(taken),
        _deviation(taken) if all(cameras) else None,
    )


@dataclass(frozen=True)
class _Channel:
    """A few planes of a channel, outliers repaired, and of its result; NaN where unknown."""

    before: list[Floats]
    after: list[Floats]
    camera: CameraNoise | None

    @classmethod
    def of(
        cls,
        raw: ImageArray,
        result: ImageArray,
        boxes: Sequence[Slices],
        camera: CameraNoise | None,
    ) -> _Channel:
        before = [plane for box in boxes for plane in _planes(raw, box)]
        after = [plane for box in boxes for plane in _planes(result, box)]
        if camera is not None:
            before = [repair_outliers(plane, camera) for plane in before]
        return cls(before, after, camera)

    @property
    def light(self) -> tuple[float, float]:
        """The light of the planes before and after, above the background before."""
        x, y = (np.concatenate([*map(np.ravel, each)]) for each in (self.before, self.after))
        finite = np.isfinite(x) & np.isfinite(y)
        if not finite.any():
            return 0.0, 0.0
        background = np.quantile(x[finite], _DARKEST)
        return float((x[finite] - background).sum()), float((y[finite] - background).sum())

    @property
    def taken(self) -> Iterator[Floats]:
        """The residuals, over the noise's standard deviation if it is known."""
        for before, after in zip(self.before, self.after, strict=True):
            noise = 1.0 if self.camera is None else np.sqrt(self.camera.variance(after))
            with np.errstate(invalid="ignore", divide="ignore"):
                residual = (before - after) / noise
            yield np.where(np.isfinite(residual), residual, np.nan)


def _planes(stack: ImageArray, box: Slices) -> Floats:
    """Return the samples of a plane as a single plane."""
    return single_plane(ImageArray.from_array(read_region(stack.array, box), stack.layout.axes))


def _flux(channels: Sequence[_Channel]) -> float | None:
    before, after = np.sum([channel.light for channel in channels], axis=0)
    return float(after / before) if before > 0 else None


def _slope(channels: Sequence[_Channel]) -> float | None:
    """Return the median slope of the channels, of means of squares: noise would bend it."""
    slopes = []
    for channel in channels:
        before, after = (
            np.concatenate([_square_means(plane) for plane in planes])[None]
            for planes in (channel.before, channel.after)
        )
        slopes.append(measure_linearity(before, after).slope)
    known = [slope for slope in slopes if slope is not None]
    return float(np.median(known)) if known else None


def _square_means(plane: Floats) -> Floats:
    rows, columns = (max(1, length // _SQUARE) for length in plane.shape)
    strips = (np.array_split(row, columns, axis=1) for row in np.array_split(plane, rows))
    return np.array([square.mean() for strip in strips for square in strip])


def _correlation(planes: Sequence[Floats]) -> float | None:
    """Return the median of the planes' strongest correlations."""
    strongest = []
    for plane in planes:
        with suppress(ValueError):  # too small, or nowhere finite
            strongest.append(residual_whiteness(plane).strongest)
    return float(np.median(strongest)) if strongest else None


def _deviation(planes: Sequence[Floats]) -> float | None:
    """Return the standard deviation about 0, robustly: repaired outliers do not count."""
    values = np.concatenate([plane[np.isfinite(plane)] for plane in planes])
    return float(np.median(np.abs(values)) * _NORMAL) if values.size else None
