"""The internal reference: a bright image of a dark one, from itself alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_WINDOW = 9  # pixels a side, of the local maximum
_RADIUS, _EPS = 20, 1e-3  # of the guided filter that makes the target follow structure
_LEAST_TARGET = 0.04
_BRIGHT, _POWER, _MOST_GAIN = 0.9, 0.9, 30.0
_SHADOW = 0.3  # targets below lose color, which is noise there
_NORM = 6  # of Minkowski, in the white balance
_VALID = 0.05, 0.99  # quantiles: darker pixels are noise, brighter ones may be clipped
_MOST_BALANCE = 1.6


def pseudo_target(image: Tensor) -> Tensor:
    """Return a bright image of a dark one: a reference for brightness and color, not for detail.

    The image is (N, C, Y, X) in [0, 1]. C is 3, or 1: then nothing is done to colors.

    Notes
    -----
    IRLE (arXiv 2605.28605) draws the chain: robust white balance, local maximum, structure-aware
    gain, desaturated shadows. Its constants are not public; these are reasoned. With the target T,
    the local maximum as a guided filter lets it follow the image, G = (0.9 / T)^0.9. Of one
    channel only what is above the background, its 5 % quantile, is looked at and amplified.
    """
    balanced = white_balance(image)
    background = _background(balanced)
    over = (balanced - background).clamp_min(0)
    brightest = over.amax(dim=1, keepdim=True)
    target = guided_filter(local_maximum(over), brightest, _RADIUS, _EPS)
    target = target.maximum(brightest).clamp_min(_LEAST_TARGET)
    gain = (_BRIGHT / target).pow(_POWER).clamp(1, _MOST_GAIN)
    bright = (balanced.minimum(background) + gain * over).clamp(0, 1)
    if image.shape[1] == 1:
        return bright
    gray = bright.mean(dim=1, keepdim=True)
    return gray + (target / _SHADOW).clamp_max(1).sqrt() * (bright - gray)


def white_balance(image: Tensor) -> Tensor:
    """Return images in [0, 1] with half of their color cast taken out, in the logarithm.

    Each of the N of (N, C, Y, X) for itself; one channel is left as it is.

    Notes
    -----
    Shades of gray (Finlayson and Trezzi, CIC 2004), the Minkowski norm 6 over the pixels whose
    brightest sample is neither among the darkest 5 % nor the brightest 1 %.
    """
    if image.shape[1] == 1:
        return image
    brightest = image.amax(dim=1).flatten(1)
    low, high = torch.quantile(brightest, brightest.new_tensor(_VALID), dim=1)[..., None]
    valid = ((brightest >= low) & (brightest <= high))[:, None].to(image.dtype)
    powers = (valid * image.flatten(2).pow(_NORM)).sum(dim=2) / valid.sum(dim=2)
    illuminant = powers.clamp_min(torch.finfo(image.dtype).tiny).pow(1 / _NORM)
    gain = (illuminant.mean(dim=1, keepdim=True) / illuminant).sqrt()
    gain = gain.clamp(1 / _MOST_BALANCE, _MOST_BALANCE)
    balanced: Tensor = (image * gain[..., None, None]).clamp(0, 1)
    return balanced


def _background(image: Tensor) -> Tensor:
    """Return the light that is everywhere, (N, 1, 1, 1): of colors 0, since black is in view."""
    if image.shape[1] > 1:
        return image.new_zeros((len(image), 1, 1, 1))
    return torch.quantile(image.flatten(1), _VALID[0], dim=1)[:, None, None, None]


def local_maximum(image: Tensor) -> Tensor:
    """Return the brightest sample of any channel within 9 x 9 pixels: (N, 1, Y, X)."""
    brightest = image.amax(dim=1, keepdim=True)
    return functional.max_pool2d(brightest, _WINDOW, 1, _WINDOW // 2)


def guided_filter(image: Tensor, guide: Tensor, radius: int, eps: float) -> Tensor:
    """Return the image as locally linear functions of a guide: smooth but where the guide is not.

    Both are (N, C, Y, X), channel by channel. Square windows of a radius in pixels count as flat
    where the guide's variance is below `eps`.

    Notes
    -----
    He, Sun, Tang, "Guided image filtering", ECCV 2010.
    """
    mean, mean_guide = mean_filter(image, radius), mean_filter(guide, radius)
    covariance = mean_filter(image * guide, radius) - mean * mean_guide
    variance = (mean_filter(guide * guide, radius) - mean_guide**2).clamp_min(0)
    slope = covariance / (variance + eps)
    offset = mean - slope * mean_guide
    return mean_filter(slope, radius) * guide + mean_filter(offset, radius)


def mean_filter(image: Tensor, radius: int) -> Tensor:
    """Return means over squares of 2 radius + 1 pixels a side, of the pixels that there are."""
    for kernel in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
        padding = (kernel[0] // 2, kernel[1] // 2)
        image = functional.avg_pool2d(image, kernel, 1, padding, count_include_pad=False)
    return image


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Return a Gaussian blur, the last pixels repeated beyond the border; it reaches 3 sigma."""
    reach = round(3 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=image.dtype, device=image.device)
    weight = torch.exp(-0.5 * (at / sigma) ** 2)
    weight = (weight / weight.sum()).expand(image.shape[1], 1, 1, -1)
    for kernel, padding in (
        (weight, (reach, reach, 0, 0)),
        (weight.transpose(2, 3), (0, 0, reach, reach)),
    ):
        padded = functional.pad(image, padding, mode="replicate")
        image = functional.conv2d(padded, kernel, groups=image.shape[1])
    return image
