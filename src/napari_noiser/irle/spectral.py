"""A spectral statistic of fine structure that neither a gain nor a circular shift changes."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

__all__ = ["BANDS", "band_profile", "patch_profiles", "spectral_correlation_loss"]

BANDS = 8
_KEPT = slice(2, 6)  # below there is illumination, above there is noise
_PATCH, _STRIDE = 32, 16
_EPS = 1e-3  # of the mean amplitude
_LEAST_VARIANCE = 1e-9  # of a profile; real ones are about 1


def band_profile(image: Tensor) -> Tensor:
    """Return how an image's logarithmic amplitude falls from band to band of frequencies.

    Parameters
    ----------
    image : Tensor
        (..., C, Y, X). The channels' mean is looked at.

    Returns
    -------
    Tensor
        (..., 8): z-scores over eight rings of equal width up to the Nyquist frequency; 0 for an
        image that is constant.

    Notes
    -----
    Read back from the figures of IRLE (arXiv 2605.28605): b_k is the mean of log(A + eps) in ring
    k, A = abs(FFT2), and z = (b - mean b) / std b. Here eps is relative to the mean of A, so that
    a gain leaves z as it is.
    """
    amplitude = torch.fft.fft2(image.mean(dim=-3)).abs()
    eps = _EPS * amplitude.mean(dim=(-2, -1), keepdim=True)
    logarithm = (amplitude + eps.clamp_min(torch.finfo(image.dtype).eps ** 2)).log()
    rings = _rings(image.shape[-2], image.shape[-1]).to(image)
    bands = logarithm.flatten(-2) @ rings
    centred = bands - bands.mean(dim=-1, keepdim=True)
    variance = centred.square().mean(dim=-1, keepdim=True)
    scores: Tensor = centred / (variance + _LEAST_VARIANCE).sqrt()
    return scores


def patch_profiles(image: Tensor) -> Tensor:
    """Return the band profiles of overlapping patches.

    Parameters
    ----------
    image : Tensor
        (N, C, Y, X), 32 pixels a side or more.

    Returns
    -------
    Tensor
        (N, patches, 8): of patches of 32 x 32 pixels every 16, their mean removed, under a Hann
        window.
    """
    gray = image.mean(dim=1)
    patches = gray.unfold(1, _PATCH, _STRIDE).unfold(2, _PATCH, _STRIDE).flatten(1, 2)
    window = torch.hann_window(_PATCH, dtype=image.dtype, device=image.device)
    patches = (patches - patches.mean(dim=(-2, -1), keepdim=True)) * window * window[:, None]
    return band_profile(patches[:, :, None])


def spectral_correlation_loss(first: Tensor, second: Tensor) -> Tensor:
    """Return how differently the mid bands of two images correlate, patch by patch.

    Parameters
    ----------
    first, second : Tensor
        (N, C, Y, X) of the same shape, 32 pixels a side or more.

    Returns
    -------
    Tensor
        The mean of abs(C1 - C2), C = z zT, over the bands 2 to 5 of 0 to 7: the shift-invariant
        spectral correlation loss (SISC) of IRLE. Its norm is not public; this one is reasoned.
    """
    one, other = (patch_profiles(image)[..., _KEPT] for image in (first, second))
    products = (z[..., :, None] * z[..., None, :] for z in (one, other))
    difference = next(products) - next(products)
    return difference.abs().mean()


@cache
def _rings(height: int, width: int) -> Tensor:
    """Return the weights of means over rings of the Fourier plane: (Y * X, 8)."""
    rows, columns = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    ring = (2 * BANDS * torch.hypot(rows[:, None], columns)).floor().long().flatten()
    member = (ring[:, None] == torch.arange(BANDS)).double()
    return member / member.sum(dim=0).clamp_min(1)
