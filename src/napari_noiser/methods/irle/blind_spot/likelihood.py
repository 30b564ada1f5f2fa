"""From a blind spot's response to light: its mean and variance, and what the pixel itself adds.

All in stabilized values (`napari_noiser.camera.stabilization`) above that of black, whose noise
has a variance of 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.methods.irle.blind_spot.network_input import NetworkInput
from napari_noiser.methods.irle.noise_variance import noise_variance

__all__ = ["BlindEstimate", "Scaling", "gaussian_nll", "posterior_mean"]

_RANGE = (-10.0, 10.0)  # of the logarithm of the estimate's variance


@dataclass(frozen=True)
class BlindEstimate:
    """What the pixels around a pixel say of it.

    Attributes
    ----------
    light : Tensor
        The mean.
    variance : Tensor
        How far the light may be from that, squared.
    noise : Tensor
        The variance of what is read around the light; 1, but for colors.
    """

    light: Tensor
    variance: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Scaling:
    """What brings the images that a network was fitted to to about mean 0 and variance 1.

    Attributes
    ----------
    center, scale : float
        The mean and the standard deviation of stabilized values above black.
    log_gain : float
        The mean of the logarithm of the gain.
    black : float
        In counts.
    noise : tuple of float
        The variance of each sample's noise; 1 on average, as one camera's for all says.
    gain_spread : float
        The standard deviation of the logarithm of the gain.
    """

    center: float
    scale: float
    log_gain: float
    black: float = 0.0
    noise: tuple[float, ...] = (1.0,)
    gain_spread: float = 0.0

    @classmethod
    def of(cls, samples: Iterable[NetworkInput], black: float) -> Scaling:
        """Return what scales images that these are crops of.

        Raises
        ------
        ValueError
            If they are constant.
        """
        crops = list(samples)
        values = torch.cat([crop.own.double().flatten() for crop in crops])
        log_gain = torch.cat([crop.log_gain.double().flatten() for crop in crops])
        if not float(values.std()) > 0:
            raise InputError("images", "are constant: there is nothing to learn from")
        noise = torch.stack([noise_variance(crop.own) for crop in crops]).mean(dim=0)
        return cls(
            float(values.mean()),
            float(values.std()),
            float(log_gain.mean()),
            black,
            tuple((noise / noise.mean()).tolist()),
            float(log_gain.std()),
        )

    def seen(self, values: Tensor) -> Tensor:
        """Return what the network sees of stabilized values."""
        return (values - self.center) / self.scale

    def estimate(self, response: Tensor) -> BlindEstimate:
        """Return what a network's response (N, 2 C, Y, X) says."""
        mean, log_variance = response.chunk(2, dim=1)
        noise = torch.tensor(self.noise).to(mean).view(-1, 1, 1)
        variance = noise * log_variance.clamp(*_RANGE).exp()
        return BlindEstimate(self.center + self.scale * mean, variance, noise)


def gaussian_nll(estimate: BlindEstimate, read: Tensor) -> Tensor:
    """Return the negative logarithm of the likelihood of what was read, less a constant; mean.

    Parameters
    ----------
    estimate : BlindEstimate
        Of the light.
    read : Tensor
        The light with its noise.
    """
    total = estimate.variance + estimate.noise
    return ((read - estimate.light).square() / total + total.log()).mean() / 2


def posterior_mean(estimate: BlindEstimate, read: Tensor) -> Tensor:
    """Return the posterior mean of the light: no longer blind.

    Parameters
    ----------
    estimate : BlindEstimate
        From the pixels around.
    read : Tensor
        What was read at each pixel itself.

    Notes
    -----
    Laine et al., "High-quality self-supervised deep image denoising", NeurIPS 2019: a normal
    prior with a normal likelihood.
    """
    total = estimate.variance + estimate.noise
    return (estimate.light * estimate.noise + read * estimate.variance) / total
