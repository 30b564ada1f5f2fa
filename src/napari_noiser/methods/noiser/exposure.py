"""Exposures: the noise that a signal gets before it is the input of a network in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import log
from typing import TYPE_CHECKING, Any, ClassVar

from napari_noiser._validation import check_fields, check_float, check_range
from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.stabilization import stabilize, stabilized_mean

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(frozen=True)
class Exposure(ABC):
    """The noise that a signal gets in training; one subclass a kind."""

    kind: ClassVar[str]

    @abstractmethod
    def expose(self, signal: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return a network's input and target of a signal (N, C, ...), dark at -1, bright at 1."""

    def to_dict(self) -> dict[str, Any]:
        """Return the exposure as JSON-able values, its kind among them."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class NoExposure(Exposure):
    """The signal itself as input and target: the paper's self-regression."""

    kind: ClassVar[str] = "none"

    def expose(self, signal: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        return signal, signal


@dataclass(frozen=True)
class PhotonNoise(Exposure):
    """Counts of a camera at levels where each photon shows; each image has a level of its own.

    The planes of a volume are one exposure: of one level, one read noise, one camera. Input and
    target, the light, are both centered by the counts' mean in each sample, and divided by their
    standard deviation in all samples together.

    Parameters
    ----------
    photons : tuple of two floats
        The range of an image's mean number of photons a pixel, drawn log-uniformly.
    read_noise : tuple of two floats
        The range of an image's read noise over its mean photon noise, drawn log-uniformly.
    read_share : float
        0 to 1: how often there is read noise on top of that of the photons.
    floor_share : float
        0 to 1: how often the camera or the file clips dark values at a floor.
    stabilized_share : float
        0 to 1: how often counts are stabilized, as they are where the camera's noise is known:
        by the generalized Anscombe transform, the light by what the counts' mean becomes.
    resampled_share : float
        0 to 1: how often counts are moved by a fraction of a pixel, as where frames were aligned:
        noise is then correlated with that of its neighbors.

    Notes
    -----
    Counts are Poisson(light) + N(0, read noise): Foi et al., "Practical Poissonian-Gaussian noise
    modeling and fitting for single-image raw-data", IEEE TIP 17(10), 2008.
    """

    photons: tuple[float, float] = (0.5, 100.0)
    read_noise: tuple[float, float] = (0.03, 3.0)
    read_share: float = 0.7
    floor_share: float = 0.15
    stabilized_share: float = 0.7
    resampled_share: float = 0.0
    kind: ClassVar[str] = "photons"

    def __post_init__(self) -> None:
        check_fields(self, check_range, "photons", "read_noise")
        shares = ("read_share", "floor_share", "stabilized_share", "resampled_share")
        check_fields(self, check_float, *shares, least=0.0, most=1.0)

    def expose(self, signal: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        import torch

        inside = tuple(range(1, signal.ndim))
        draw = PerImage(signal, generator)
        light = ((signal + 1) / 2).clamp_min(0.0)
        light = light - draw.uniform(0.0, 1.0) * light.amin(inside, keepdim=True)
        mean = light.mean(inside, keepdim=True).clamp_min(1e-6)
        photons = draw.log_uniform(self.photons)
        light = light / mean * photons
        read = photons.sqrt() * draw.log_uniform(self.read_noise) * draw.bernoulli(self.read_share)
        noise = torch.empty_like(light).normal_(generator=generator)
        counts = torch.poisson(light, generator=generator) + read * noise
        floor = photons * draw.uniform(0.0, 0.6)
        counts = torch.where(draw.bernoulli(self.floor_share), counts.maximum(floor), counts)
        resampled = draw.bernoulli(self.resampled_share)
        shift = [draw.uniform(0.0, 1.0) * resampled for _ in range(2)]
        counts, light = _shift(counts, shift), _shift(light, shift)
        stabilized = draw.bernoulli(self.stabilized_share)
        counts, light = stabilize_chosen(counts, light, torch.ones_like(read), read, stabilized)
        return standardize(counts, light)


def standardize(counts: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
    """Center both by the counts' mean in each sample, and divide by their standard deviation."""
    inside = tuple(range(1, counts.ndim))
    center = counts.mean(inside[1:], keepdim=True)
    deviation = (counts - center).square().mean(inside, keepdim=True).sqrt().clamp_min(1e-6)
    return (counts - center) / deviation, (light - center) / deviation


def _shift(images: Tensor, shift: Sequence[Tensor]) -> Tensor:
    """Move images by fractions of a pixel along Y and X, as interpolation does."""
    for axis, each in zip((-2, -1), shift, strict=True):
        if each.any():
            images = images.lerp(images.roll(1, axis), each)
    return images


def stabilize_chosen(
    counts: Tensor, light: Tensor, gain: Tensor, read: Tensor, chosen: Tensor
) -> tuple[Tensor, Tensor]:
    """Give the chosen ones of counts the same noise everywhere, and return their light's mean.

    The gain is in counts an electron, the read noise in counts; both are one number an image.
    """
    import torch

    counts, light = counts.clone(), light.clone()
    for at in chosen.flatten().nonzero().flatten().tolist():
        camera = CameraNoise(float(gain[at]), 0.0, float(read[at] / gain[at]))
        for image, transform in ((counts[at], stabilize), (light[at], stabilized_mean)):
            image.copy_(torch.from_numpy(transform(image.cpu().numpy(), camera)))
    return counts, light


@dataclass(frozen=True)
class PerImage:
    """Draws one number for each image of a signal (N, C, ...)."""

    signal: Tensor
    generator: Generator

    def uniform(self, low: float, high: float) -> Tensor:
        each = self.signal.new_empty(len(self.signal), *(1 for _ in self.signal.shape[1:]))
        return each.uniform_(low, high, generator=self.generator)

    def log_uniform(self, limits: tuple[float, float]) -> Tensor:
        return self.uniform(log(limits[0]), log(limits[1])).exp()

    def bernoulli(self, share: float) -> Tensor:
        return self.uniform(0.0, 1.0) < share
