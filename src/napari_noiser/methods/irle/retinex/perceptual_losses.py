"""Losses of structure that do not depend on the illumination: perceptual and spectral."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from napari_noiser.methods.irle.retinex.pseudo_target import gaussian_blur, guided_filter

_RADIUS = 8  # of the windows in which illumination is taken to be even, in pixels
_EPS = 0.01  # of the input's variance: windows that vary less count as flat
_SIGMA = 2.0  # pixels, of the neighborhood that contrast is relative to
_OF_MEAN = 0.01  # the contrast below which there is no structure
_SCALES = 3


def perceptual_loss(reflectance: Tensor, image: Tensor) -> Tensor:
    """Return how much the structure of a reflectance differs from that of its image.

    Both are (N, C, Y, X), the reflectance in about [0, 1], 16 pixels a side or more. A gain (above
    0) or an offset of the image changes nothing.

    Notes
    -----
    IRLE (arXiv 2605.28605) names an illumination-aligned perceptual loss (IAP). Its features are
    not public; these need no weights: the image is aligned to the reflectance by local
    regression, through which no gradient runs, then local contrasts are compared.
    """
    with torch.no_grad():
        target = align_illumination(image, reflectance)
    total = reflectance.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            reflectance = functional.avg_pool2d(reflectance, 2)
            target = functional.avg_pool2d(target, 2)
        difference = normalize_locally(reflectance) - normalize_locally(target)
        total = total + difference.abs().mean()
    return total / _SCALES


def align_illumination(image: Tensor, reflectance: Tensor) -> Tensor:
    """Return the image under the illumination of the reflectance, by a guided filter."""
    center = image.mean(dim=(1, 2, 3), keepdim=True)
    spread = image.std(dim=(1, 2, 3), keepdim=True, correction=0)
    guide = (image - center) / spread.clamp_min(torch.finfo(image.dtype).tiny)
    return guided_filter(reflectance, guide, _RADIUS, _EPS)


def normalize_locally(image: Tensor) -> Tensor:
    """Return local contrasts: (x - mean) / (deviation + 0.01 of the image's mean)."""
    mean = gaussian_blur(image, _SIGMA)
    residual = image - mean
    floor = _OF_MEAN * image.detach().mean(dim=(1, 2, 3), keepdim=True).abs()
    floor = floor.clamp_min(torch.finfo(image.dtype).eps)
    # The floor is within the root, too: there the root's slope would have no limit.
    deviation = (gaussian_blur(residual.square(), _SIGMA) + floor.square()).sqrt()
    return residual / (deviation + floor)


BANDS = 8
_KEPT = slice(2, 6)  # below there is illumination, above there is noise
_PATCH, _STRIDE = 32, 16
_SPECTRAL_EPS = 1e-3  # of the mean amplitude
_LEAST_VARIANCE = 1e-9  # of a profile; real ones are about 1


def band_profile(image: Tensor) -> Tensor:
    """Return how an image's logarithmic amplitude falls from band to band of frequencies.

    Of (..., C, Y, X), whose channels' mean is looked at, (..., 8): z-scores over eight rings of
    equal width up to the Nyquist frequency; 0 for an image that is constant.

    Notes
    -----
    Read back from the figures of IRLE (arXiv 2605.28605): b_k is the mean of log(A + eps) in ring
    k, A = abs(FFT2), and z = (b - mean b) / std b. Here eps is relative to the mean of A, so that
    a gain leaves z as it is.
    """
    amplitude = torch.fft.fft2(image.mean(dim=-3)).abs()
    eps = _SPECTRAL_EPS * amplitude.mean(dim=(-2, -1), keepdim=True)
    logarithm = (amplitude + eps.clamp_min(torch.finfo(image.dtype).eps ** 2)).log()
    rings = _rings(image.shape[-2], image.shape[-1]).to(image)
    bands = logarithm.flatten(-2) @ rings
    centered = bands - bands.mean(dim=-1, keepdim=True)
    variance = centered.square().mean(dim=-1, keepdim=True)
    scores: Tensor = centered / (variance + _LEAST_VARIANCE).sqrt()
    return scores


def patch_profiles(image: Tensor) -> Tensor:
    """Return the band profiles of overlapping patches, (N, patches, 8).

    The image is (N, C, Y, X), 32 pixels a side or more; a patch of 32 x 32 pixels lies every 16,
    its mean removed, under a Hann window.
    """
    gray = image.mean(dim=1)
    patches = gray.unfold(1, _PATCH, _STRIDE).unfold(2, _PATCH, _STRIDE).flatten(1, 2)
    window = torch.hann_window(_PATCH, dtype=image.dtype, device=image.device)
    patches = (patches - patches.mean(dim=(-2, -1), keepdim=True)) * window * window[:, None]
    return band_profile(patches[:, :, None])


def spectral_correlation_loss(first: Tensor, second: Tensor) -> Tensor:
    """Return how differently the mid bands of two images correlate, patch by patch.

    Both are (N, C, Y, X), 32 pixels a side or more. The mean of abs(C1 - C2), C = z zT, over the
    bands 2 to 5 of 0 to 7: the shift-invariant spectral correlation loss (SISC) of IRLE. Its norm
    is not public; this one is reasoned.
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
