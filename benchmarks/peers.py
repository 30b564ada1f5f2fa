"""Other denoisers, for images of about [0, 1]; the noise is estimated, the strength given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.restoration import (
    denoise_nl_means,
    denoise_tv_chambolle,
    denoise_wavelet,
    estimate_sigma,
)

import napari_noiser as noiser

Floats = NDArray[np.floating]


def gaussian(values: Floats, channel_axis: int | None, strength: float) -> Floats:
    """Blur; the strength is the standard deviation in pixels."""
    return gaussian_filter(values, strength, axes=(0, 1))


def non_local_means(values: Floats, channel_axis: int | None, strength: float) -> Floats:
    """Average patches that look alike; the strength is the cut-off in units of the noise."""
    sigma = noise(values, channel_axis)
    return denoise_nl_means(
        values, h=strength * sigma, sigma=sigma, patch_distance=9, channel_axis=channel_axis
    )


def total_variation(values: Floats, channel_axis: int | None, strength: float) -> Floats:
    """Lower the total variation (Chambolle); the strength is the weight in units of the noise."""
    weight = strength * noise(values, channel_axis)
    return denoise_tv_chambolle(values, weight, channel_axis=channel_axis)


def wavelets(values: Floats, channel_axis: int | None, strength: float) -> Floats:
    """Shrink wavelet coefficients (BayesShrink); the strength multiplies the estimated noise."""
    return denoise_wavelet(
        values,
        sigma=strength * noise(values, channel_axis),
        channel_axis=channel_axis,
        convert2ycbcr=channel_axis is not None,
        rescale_sigma=False,
    )


def bm3d(values: Floats, channel_axis: int | None, strength: float) -> Floats:
    """Filter blocks that look alike together; the strength multiplies the estimated noise."""
    import bm3d as package  # not free for all uses: nobody has to have it

    denoise = package.bm3d if channel_axis is None else package.bm3d_rgb
    return np.asarray(denoise(values, strength * noise(values, channel_axis)))


def stabilized_bm3d(values: Floats, channel_axis: int | None, strength: float) -> Floats:
    """Do so where the noise is the same everywhere: behind a generalized Anscombe transform."""
    camera = noiser.camera.estimate_noise(values)
    stable = noiser.camera.stabilize(values, camera)
    return noiser.camera.unstabilize(bm3d(stable, channel_axis, strength), camera)


def noise(values: Floats, channel_axis: int | None) -> float:
    """Return the noise's standard deviation, at least that of rounding to 8 bits."""
    found = estimate_sigma(values, channel_axis=channel_axis, average_sigmas=True)
    return max(float(found), 1 / 255 / 12**0.5)
