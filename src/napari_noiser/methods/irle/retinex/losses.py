"""The losses of illumination and reflectance, on two sub-images of each crop."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_noiser.methods.irle.retinex.network import Retinex
from napari_noiser.methods.irle.retinex.perceptual_losses import (
    perceptual_loss,
    spectral_correlation_loss,
)
from napari_noiser.methods.irle.retinex.pseudo_target import (
    gaussian_blur,
    local_maximum,
    pseudo_target,
)

_FLOOR = 0.03  # light below which errors count as absolute
_EDGE = 10.0  # how soon a step of the local maximum permits one of the illumination
_GUIDE, _AGREEMENT = 4.0, 2.0  # sigmas of the low frequencies, in pixels of the sub-images


def retinex_losses(network: Retinex, crops: Tensor) -> dict[str, Tensor]:
    """Return the losses by the names of their weights.

    Crops are (N, C, Y, X) in [0, 1]; half of Y and X are whole steps of the network. Or (N, 2 C,
    Y, X): then the last C are the first, denoised. Illumination and reference are taken from the
    first C, reflectance from the last.
    """
    both = torch.cat([crops[..., ::2, ::2], crops[..., 1::2, 1::2]])
    dark, clean = both[:, : network.samples], both[:, -network.samples :]
    illumination = network.illumination(dark)
    reflectance = network.reflectance(clean, illumination)
    brightest = local_maximum(network.smoothed(dark))
    with torch.no_grad():
        reference = pseudo_target(network.smoothed(crops[:, : network.samples]))
        reference = gaussian_blur(functional.avg_pool2d(reference, 2), _GUIDE).repeat(2, 1, 1, 1)
    errors = (illumination * reflectance - clean).abs() / (brightest + _FLOOR)
    one, other = gaussian_blur(reflectance, _AGREEMENT).chunk(2)
    from_other = torch.cat(clean.chunk(2)[::-1])
    return {
        "reconstruction": errors.mean(),
        "smoothness": _smoothness(illumination, brightest),
        "guide": (gaussian_blur(reflectance, _GUIDE) - reference).abs().mean(),
        "structure": perceptual_loss(reflectance, clean),
        "spectrum": spectral_correlation_loss(reflectance, from_other),
        "agreement": (one - other).abs().mean(),
    }


def _smoothness(illumination: Tensor, brightest: Tensor) -> Tensor:
    """Return the total variation of log L, less where the local maximum changes."""
    logarithm, total = illumination.log(), illumination.new_zeros(())
    for axis in (-2, -1):
        even = (-_EDGE * brightest.diff(dim=axis).abs()).exp()
        total = total + (even * logarithm.diff(dim=axis).abs()).mean()
    return total
