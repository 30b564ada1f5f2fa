"""Illumination-aligned perceptual loss: is the structure of two images the same in any light?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_noiser.irle.reference import blurred, guided

__all__ = ["aligned", "locally_normalised", "perceptual_loss"]

_RADIUS = 8  # of the windows in which light is taken to be even, in pixels
_EPS = 0.01  # of the input's variance: windows that vary less count as flat
_SIGMA = 2.0  # pixels, of the neighbourhood that contrast is relative to
_OF_MEAN = 0.01  # the contrast below which there is no structure
_SCALES = 3


def perceptual_loss(reflectance: Tensor, image: Tensor) -> Tensor:
    """Return how much the structure of a reflectance differs from that of its image.

    Parameters
    ----------
    reflectance : Tensor
        (N, C, Y, X) in about [0, 1], 16 pixels a side or more.
    image : Tensor
        Of the same shape. A gain (above 0) or an offset of it changes nothing.

    Returns
    -------
    Tensor
        The mean absolute difference of locally normalised maps over three scales.

    Notes
    -----
    IRLE (arXiv 2605.28605) names an illumination-aligned perceptual loss (IAP). Its features are
    not public; these need no weights: the image is aligned to the reflectance by local
    regression, through which no gradient runs, then local contrasts are compared.
    """
    with torch.no_grad():
        target = aligned(image, reflectance)
    total = reflectance.new_zeros(())
    for scale in range(_SCALES):
        if scale:
            reflectance = functional.avg_pool2d(reflectance, 2)
            target = functional.avg_pool2d(target, 2)
        difference = locally_normalised(reflectance) - locally_normalised(target)
        total = total + difference.abs().mean()
    return total / _SCALES


def aligned(image: Tensor, reflectance: Tensor) -> Tensor:
    """Return the image in the light of the reflectance: what a guided filter makes of it."""
    centre = image.mean(dim=(1, 2, 3), keepdim=True)
    spread = image.std(dim=(1, 2, 3), keepdim=True, correction=0)
    guide = (image - centre) / spread.clamp_min(torch.finfo(image.dtype).tiny)
    return guided(reflectance, guide, _RADIUS, _EPS)


def locally_normalised(image: Tensor) -> Tensor:
    """Return local contrasts: (x - mean) / (deviation + 0.01 of the image's mean)."""
    mean = blurred(image, _SIGMA)
    residual = image - mean
    floor = _OF_MEAN * image.detach().mean(dim=(1, 2, 3), keepdim=True).abs()
    floor = floor.clamp_min(torch.finfo(image.dtype).eps)
    # The floor is within the root, too: there the root's slope would have no limit.
    deviation = (blurred(residual.square(), _SIGMA) + floor.square()).sqrt()
    return residual / (deviation + floor)
