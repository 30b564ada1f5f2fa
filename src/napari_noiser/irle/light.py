"""From a blind spot's response to light: its mean and variance, and what the pixel itself adds."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["BlindEstimate", "Scaling", "half_deviance", "with_own_pixel"]

_LEAST = 0.1  # electrons: below, a Poisson variance taken from an estimate is not to be trusted
_RANGE = (-10.0, 10.0)  # of the logarithm of the estimate's variance over the noise's


@dataclass(frozen=True)
class BlindEstimate:
    """What the pixels around a pixel say of it.

    Attributes
    ----------
    light : Tensor
        The mean, in electrons.
    variance : Tensor
        How far the light may be from that, squared.
    noise : Tensor
        The variance of a count of so much light.
    """

    light: Tensor
    variance: Tensor
    noise: Tensor


@dataclass(frozen=True)
class Scaling:
    """What brings the images that a network was fitted to to about mean 0 and variance 1.

    Attributes
    ----------
    centre, scale : float
        The mean and the standard deviation of stabilised pixels.
    log_gain : float
        The mean of the logarithm of the gain.
    """

    centre: float
    scale: float
    log_gain: float

    def seen(self, electrons: Tensor, read_noise: Tensor) -> Tensor:
        """Return what the network sees: stabilised (generalised Anscombe), then scaled."""
        stable = 2 * (electrons + 3 / 8 + read_noise**2).clamp_min(0).sqrt()
        return (stable - self.centre) / self.scale

    def estimate(self, response: Tensor, read_noise: Tensor) -> BlindEstimate:
        """Return what a network's response says.

        Parameters
        ----------
        response : Tensor
            (N, 2 C, Y, X), as of `napari_noiser.irle.network.BlindSpot`.
        read_noise : Tensor
            Electrons; broadcasts with (N, C, Y, X).
        """
        mean, log_ratio = response.chunk(2, dim=1)
        light = (self.centre + self.scale * mean) ** 2 / 4 - 3 / 8 - read_noise**2
        noise = light.detach().clamp_min(_LEAST) + read_noise**2
        return BlindEstimate(light, noise * log_ratio.clamp(*_RANGE).exp(), noise)


def half_deviance(estimate: BlindEstimate, electrons: Tensor) -> Tensor:
    """Return the negative logarithm of the likelihood of what was counted, less a constant; mean.

    The light is fitted by squares, weighted by a variance that no gradient of the light runs
    through: its best value is the mean count, however few the photons.

    Parameters
    ----------
    estimate : BlindEstimate
        Of the light that was counted.
    electrons : Tensor
        The counts.
    """
    total = estimate.variance + estimate.noise
    return ((electrons - estimate.light).square() / total + total.log()).mean() / 2


def with_own_pixel(estimate: BlindEstimate, electrons: Tensor) -> Tensor:
    """Return the posterior mean of the light, in electrons: no longer blind.

    Parameters
    ----------
    estimate : BlindEstimate
        From the pixels around.
    electrons : Tensor
        What was counted at each pixel itself.

    Notes
    -----
    Laine et al., "High-quality self-supervised deep image denoising", NeurIPS 2019: a normal
    prior with a normal likelihood. Of a gamma prior and photons that are counted it is the exact
    posterior mean, too.
    """
    total = estimate.variance + estimate.noise
    return (estimate.light * estimate.noise + electrons * estimate.variance) / total
