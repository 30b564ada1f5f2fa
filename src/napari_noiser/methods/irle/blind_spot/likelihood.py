"""A blind spot's estimate of light, its variance, and the posterior that adds the pixel itself.

All in stabilized values (`napari_noiser.camera.stabilization`) above that of black, whose noise
has a variance of 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser._errors import InputError
from napari_noiser.camera.noise_variance import noise_power
from napari_noiser.methods.irle.blind_spot.network_input import NetworkInput

_RANGE = (-10.0, 10.0)  # of the logarithm of the estimate's variance


@dataclass(frozen=True)
class BlindEstimate:
    """The light of pixels as estimated from those around them, and its variance around that.

    The variance of the noise is 1, but for colors.
    """

    light: Tensor
    variance: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Scaling:
    """The shift and scale that bring the images of a fit to about mean 0 and variance 1.

    `center` and `scale` are the mean and the standard deviation of stabilized values above
    `black`, itself in counts; `log_gain` and `gain_spread` those of the logarithm of the gain.
    `noise` is the variance of each sample's noise; 1 on average, as one camera's for all says.
    """

    center: float
    scale: float
    log_gain: float
    black: float = 0.0
    noise: tuple[float, ...] = (1.0,)
    gain_spread: float = 0.0

    @classmethod
    def of(cls, samples: Iterable[NetworkInput], black: float) -> Scaling:
        """Return the scaling of images that these are crops of."""
        crops = list(samples)
        values = torch.cat([crop.own[~crop.own.isnan()].double() for crop in crops])
        log_gain = torch.cat([crop.log_gain.double().flatten() for crop in crops])
        if not float(values.std()) > 0:
            raise InputError("images", "are constant: there is nothing to learn from")
        noise = np.mean([_sample_noise(crop.own) for crop in crops], axis=0)
        return cls(
            float(values.mean()),
            float(values.std()),
            float(log_gain.mean()),
            black,
            tuple((noise / noise.mean()).tolist()),
            float(log_gain.std()),
        )

    def normalize(self, values: Tensor) -> Tensor:
        """Return stabilized values as the network's input."""
        return (values - self.center) / self.scale

    def estimate(self, response: Tensor) -> BlindEstimate:
        """Return the estimate that a network's response (N, 2 C, Y, X) means."""
        mean, log_variance = response.chunk(2, dim=1)
        noise = torch.tensor(self.noise).to(mean).view(-1, 1, 1)
        variance = noise * log_variance.clamp(*_RANGE).exp()
        return BlindEstimate(self.center + self.scale * mean, variance, noise)


def _sample_noise(crops: Tensor) -> NDArray[np.float64]:
    """Return the noise's variance of each sample of crops (N, C, Y, X), NaN left out."""
    power = noise_power(crops.cpu().double().numpy())
    known = ~np.isnan(power)
    count = known.sum(axis=(0, 2, 3))
    mean = np.where(known, power, 0.0).sum(axis=(0, 2, 3)) / np.maximum(count, 1)
    return np.asarray(np.where(count, mean, 1.0))


def posterior_mean(estimate: BlindEstimate, observed: Tensor) -> Tensor:
    """Return the posterior mean of the light, from the pixels around and the pixel itself.

    Laine et al., "High-quality self-supervised deep image denoising", NeurIPS 2019: a normal prior
    with a normal likelihood.
    """
    total = estimate.variance + estimate.noise
    return (estimate.light * estimate.noise + observed * estimate.variance) / total
