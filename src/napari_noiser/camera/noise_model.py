"""A camera's noise model, gain, offset and read noise, and its estimation from images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_noiser._errors import InputError, InputTypeError
from napari_noiser._validation import check_fields, check_float, check_not_masked
from napari_noiser.camera.noise_variance import noise_power

Floats = NDArray[np.float64]

_BLOCK = 16  # pixels a side: enough to know a variance to 15 %, and small beside most structure
_KNOWN = 0.5  # of a block's pixels, or it does not count
_LEAST_SIDE = 64
_LARGE_ERROR = 0.1  # relative: beyond, errors count less than their squares
_LINE_STEPS = 500  # it takes some twenty
_LEVELS = 24  # of brightness, at which the variance is looked up
_UNEVEN = 0.01  # of the variance: how much more it is at the brightest


@dataclass(frozen=True)
class CameraNoise:
    """A camera's noise model: Poisson noise of electrons, and Gaussian read noise.

    Counts are ``gain * Poisson(electrons) + offset + N(0, (gain * read_noise)**2)``, so that their
    variance is ``gain * (mean - offset) + (gain * read_noise)**2``.

    Parameters
    ----------
    gain : float
        Counts an electron, above 0.
    offset : float
        Counts without light.
    read_noise : float
        Electrons, 0 or more.

    Raises
    ------
    TypeError, ValueError
        If a value is outside its range.

    Notes
    -----
    Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data", IEEE TIP 17(10), 2008.
    """

    gain: float
    offset: float = 0.0
    read_noise: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, check_float, "gain", above=0.0)
        check_fields(self, check_float, "offset")
        check_fields(self, check_float, "read_noise", least=0.0)

    def variance(self, mean: ArrayLike) -> Floats:
        """Return the variance of counts around a mean; without light, that of the read noise."""
        light = np.maximum(np.asarray(mean, np.float64) - self.offset, 0.0)
        return np.asarray(self.gain * light + (self.gain * self.read_noise) ** 2)


def check_camera(noise: Any) -> CameraNoise:
    """Return a `CameraNoise`, or raise a `TypeError` if it is none."""
    if not isinstance(noise, CameraNoise):
        raise InputTypeError("noise", f"must be a CameraNoise, got {noise!r}")
    return noise


def constant_noise(deviation: float, low: float, high: float) -> CameraNoise:
    """Return a camera whose noise has one standard deviation at counts from low to high.

    To half a percent: many electrons a count, and read noise that drowns theirs.
    """
    gain = _UNEVEN * deviation**2 / (high - low)
    return CameraNoise(gain, low, deviation / gain)


def estimate_noise(image: ArrayLike, *, offset: float | None = None) -> CameraNoise:
    """Estimate a camera's noise model from an image.

    Parameters
    ----------
    image : array, shape (Y, X) or (frames, Y, X)
        Raw counts: smoothed, compressed or clipped images hide their noise. Several frames of a
        scene that stands still tell more: structure cancels in their differences.
    offset : float, optional
        The camera's own, in counts: a data sheet or a dark frame tells. Left out, the darkest
        level at which there would be no read noise: what matters, the variance at each
        brightness, is the same.

    Returns
    -------
    CameraNoise
        With what of the variance no electron explains as read noise.

    Raises
    ------
    TypeError
        If the image is a masked array.
    ValueError
        If the image has another number of dimensions, is smaller than 64 pixels a side or not
        finite, or its variance does not grow with its mean.

    Notes
    -----
    The mean and the variance of blocks of 16 x 16 pixels; their medians at 24 levels of
    brightness; a line through those, robust against blocks full of structure. A single image's
    noise is what its second differences hold (Immerkaer, CVIU 64(2), 1996).
    """
    frames = check_frames(image)
    if not np.isfinite(frames).all():
        raise InputError("image", "must be finite throughout")
    return _from_blocks(*_blocks(frames.astype(np.float64)), offset)


def check_frames(image: ArrayLike) -> NDArray[Any]:
    """Return a plane or frames of it, or raise an error if they are masked or too small."""
    frames = check_not_masked("image", image)
    if frames.ndim not in (2, 3) or min(frames.shape[-2:]) < _LEAST_SIDE or not len(frames):
        raise InputError(
            "image",
            f"must be a plane or a few frames of it, of {_LEAST_SIDE} pixels a side or "
            f"more; got shape {frames.shape}",
        )
    return frames


def estimate_pooled_noise(planes: Iterable[ArrayLike]) -> CameraNoise:
    """Estimate a camera's noise model from planes of different scenes, in six digits.

    They hold raw counts; blocks that are not finite in half of their pixels are left out.
    """
    arrays = [np.asarray(plane, np.float64) for plane in planes]
    large = [_blocks(plane) for plane in arrays if min(plane.shape) >= _LEAST_SIDE]
    if not large:
        raise InputError("", f"planes must be of {_LEAST_SIDE} pixels a side or more")
    means, variances = map(np.concatenate, zip(*large, strict=True))
    known = np.isfinite(means) & np.isfinite(variances)
    noise = _from_blocks(means[known], variances[known])
    return CameraNoise(*(float(f"{value:.6g}") for value in astuple(noise)))


def _from_blocks(means: Floats, variances: Floats, offset: float | None = None) -> CameraNoise:
    """Return the noise model of a line through the variances of blocks over their means."""
    if len(means) < 2:
        raise InputError("image", "must be finite, in two blocks of 16 x 16 pixels at least")
    slope, intercept = _line(*_levels(means, variances))
    if not slope > 0:
        raise InputError(
            "image", "has a variance that does not grow with its mean: give the noise"
        )
    dark = -intercept / slope if offset is None else check_float("offset", offset)
    read = max(intercept + slope * dark, 0.0) ** 0.5 / slope
    return CameraNoise(slope, dark, read)


def _blocks(frames: Floats) -> tuple[Floats, Floats]:
    """Return the mean and the variance of the noise of each block."""
    if frames.ndim == 3 and len(frames) > 1:
        mean, squares = frames.mean(axis=0), np.square(np.diff(frames, axis=0)).mean(axis=0) / 2
    else:
        mean = frames.reshape(frames.shape[-2:])
        mean, squares = mean[1:-1, 1:-1], noise_power(mean)
    return _block_means(mean), _block_means(squares)


def _block_means(plane: Floats) -> Floats:
    rows, columns = (length // _BLOCK for length in plane.shape)
    whole = plane[: rows * _BLOCK, : columns * _BLOCK]
    blocks = whole.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2).reshape(-1, _BLOCK**2)
    known = np.isfinite(blocks)
    if known.all():
        return np.asarray(blocks.mean(axis=1))
    count = known.sum(axis=1)
    sums = np.where(known, blocks, 0.0).sum(axis=1)
    return np.where(count >= _KNOWN * _BLOCK**2, sums / np.maximum(count, 1), np.nan)


def _levels(means: Floats, variances: Floats) -> tuple[Floats, Floats]:
    """Return the median mean and variance of the blocks at each level of brightness."""
    order = np.argsort(means)
    parts = np.array_split(order, min(_LEVELS, len(order) // 2))
    pairs = [(np.median(means[part]), np.median(variances[part])) for part in parts]
    mean, variance = np.transpose(pairs)
    return mean, variance


def _line(means: Floats, variances: Floats) -> tuple[float, float]:
    """Return slope and intercept of variance over mean; relative errors count, large ones less.

    The least sum of ``sqrt(1 + (error / scale)**2)``, found by reweighted least squares: it is
    convex. SciPy's least_squares finds the same, but takes a first click .7 s to import.
    """
    origin, size = means.mean(), variances.mean() or 1.0
    span = np.ptp(means) or 1.0
    weight = 1 / np.maximum(variances / size, 1e-3)
    columns = np.stack([(means - origin) / span, np.ones(len(means))], axis=1) * weight[:, None]
    wanted = variances / size * weight
    line = np.array([0.0, 1.0])
    for _ in range(_LINE_STEPS):
        near = (1 + ((columns @ line - wanted) / _LARGE_ERROR) ** 2) ** -0.25
        before, line = line, np.linalg.lstsq(columns * near[:, None], wanted * near)[0]
        if np.allclose(line, before, rtol=0, atol=1e-12):
            break
    slope, middle = line[0] * size / span, line[1]
    return float(slope), float(middle * size - slope * origin)


Cameras = tuple[CameraNoise | None, ...]
"""The noise model of each channel's camera, None where it is not considered."""

Camera = CameraNoise | Sequence[CameraNoise | None] | str | None
"""The option `camera`: the noise model of all channels or of each, "auto", or None."""


def broadcast_cameras(camera: Camera, channels: int) -> Cameras | None:
    """Return the noise of each channel's camera, None if it is to be estimated."""
    if isinstance(camera, str):
        if camera != "auto":
            raise InputError("camera", f"must be 'auto', None or a CameraNoise, got {camera!r}")
        return None
    if camera is None or isinstance(camera, CameraNoise):
        return (camera,) * channels
    given: tuple[Any, ...] = tuple(camera) if isinstance(camera, Sequence) else (camera,)
    if not all(each is None or isinstance(each, CameraNoise) for each in given):
        raise InputTypeError("camera", f"must be 'auto', None or a CameraNoise, got {camera!r}")
    if len(given) != channels:
        raise InputError("camera", f"must be one for all, or {channels}, got {len(given)}")
    return given


def cameras_to_json(cameras: Cameras | None) -> Any:
    """Return cameras as JSON-able values: one for all, if they are equal; "auto" for None."""
    if cameras is None:
        return "auto"
    each = [None if camera is None else asdict(camera) for camera in cameras]
    return each[0] if all(one == each[0] for one in each) else each


def camera_from_json(values: Any) -> Camera:
    """Return the option `camera` from what `cameras_to_json` returned."""
    if isinstance(values, list):
        return [camera_from_json(each) for each in values]  # type: ignore[misc]
    return CameraNoise(**values) if isinstance(values, dict) else values
