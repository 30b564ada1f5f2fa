"""The noise of microscopes' detectors: faint, amplified, shared between neighbors, cut to levels.

What `napari_noiser.methods.noiser.exposure.PhotonNoise` leaves out. Each disturbance comes to a
share of the images, in the order in which a detector and a file format bring it in.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import pi
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_noiser._validation import check_fields, check_float, check_range
from napari_noiser.methods.noiser.exposure import (
    Exposure,
    PerImage,
    stabilize_chosen,
    standardize,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

_BLOCK = 8  # pixels a side, as in JPEG


@dataclass(frozen=True)
class DetectorNoise(Exposure):
    """Counts of a microscope's detector, down to structure that is far fainter than its noise.

    Each image draws what it has. The planes of a volume are one exposure. Input and target are
    centered and scaled as those of `PhotonNoise`; where neighbors share their noise, the target
    is the light as those neighbors share it: nothing is to be sharpened.

    Parameters
    ----------
    photons : tuple of two floats
        The range of an image's mean number of photons a pixel, drawn log-uniformly.
    read_noise : tuple of two floats
        The range of an image's read noise over its mean photon noise, drawn log-uniformly.
    read_share : float
        0 to 1: how often there is read noise on top of that of the photons.
    faint_share : float
        0 to 1: how often structure is faint, on a background.
    signal_to_noise : tuple of two floats
        The range of faint structure's standard deviation over that of the noise in a pixel, drawn
        log-uniformly; what is fainter already stays as it is.
    excess_share : float
        0 to 1: how often electrons are multiplied, as by an EM register or a photomultiplier.
    excess : tuple of two floats
        The range of the variance that multiplication adds, over that of the photons; an EM
        register's is 1.
    line_share : float
        0 to 1: how often rows, or columns, have offsets of their own.
    line_offset : tuple of two floats
        The range of their standard deviation over that of the noise in a pixel.
    shared_share : float
        0 to 1: how often neighbors share their noise: moved by a fraction of a pixel along rows,
        columns or both (half a pixel is the mean of two), and smoothed lightly.
    smoothing : tuple of two floats
        The range of the weight that each of two neighbors gets; a third is the mean of three.
    quantized_share : float
        0 to 1: how often counts are rounded to steps.
    quantum : tuple of two floats
        The range of a step over the standard deviation of the noise in a pixel.
    compressed_share : float
        0 to 1: how often cosine transforms of blocks of 8 x 8 pixels are rounded, as JPEG does.
    floor_share : float
        0 to 1: how often dark values are clipped.
    floor : tuple of two floats
        The range of the level of clipping over the mean light.
    ceiling_share : float
        0 to 1: how often bright values are clipped; the target is clipped along.
    ceiling : tuple of two floats
        The range of the level of clipping, in standard deviations of counts above their mean.
    stabilized_share : float
        0 to 1: how often counts are stabilized, as where the camera's noise is estimated.
    camera_error : tuple of two floats
        The range of an estimate of gain or read noise over the true one, drawn log-uniformly.

    Notes
    -----
    Excess noise: Robbins, Hadwen, "The noise performance of electron multiplying charge-coupled
    devices", IEEE Trans. Electron Devices 50(5), 2003.
    """

    photons: tuple[float, float] = (0.5, 100.0)
    read_noise: tuple[float, float] = (0.03, 12.0)
    read_share: float = 0.7
    faint_share: float = 0.25
    signal_to_noise: tuple[float, float] = (0.05, 1.0)
    excess_share: float = 0.15
    excess: tuple[float, float] = (0.1, 1.0)
    line_share: float = 0.05
    line_offset: tuple[float, float] = (0.05, 0.4)
    shared_share: float = 0.25
    smoothing: tuple[float, float] = (0.01, 0.3)
    quantized_share: float = 0.25
    quantum: tuple[float, float] = (0.1, 2.0)
    compressed_share: float = 0.05
    floor_share: float = 0.15
    floor: tuple[float, float] = (0.01, 0.6)
    ceiling_share: float = 0.1
    ceiling: tuple[float, float] = (1.0, 5.0)
    stabilized_share: float = 0.7
    camera_error: tuple[float, float] = (0.7, 1.4)
    kind: ClassVar[str] = "detector"

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]
        shares = [name for name in names if name.endswith("_share")]
        check_fields(self, check_float, *shares, least=0.0, most=1.0)
        check_fields(self, check_range, *(name for name in names if name not in shares))

    def expose(self, signal: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        draw = PerImage(signal, generator)
        photons = draw.log_uniform(self.photons)
        added = draw.log_uniform(self.excess) * draw.bernoulli(self.excess_share)
        read = photons.sqrt() * draw.log_uniform(self.read_noise) * draw.bernoulli(self.read_share)
        noise = ((1 + added) * photons + read.square()).sqrt()
        light = self._light(signal, photons, noise, draw)
        counts = _multiply(_photons(light, generator), added, generator)
        counts = counts + read * _normal(counts, generator)
        counts = counts + noise * self._lines(counts, draw)
        kernels = self._kernels(draw)
        counts, light = _filter(counts, kernels), _filter(light, kernels)
        kept = _squares(kernels)  # of the variance, where neighbors share their noise
        counts, light = self._to_levels(counts, light, noise * kept.sqrt(), draw)
        gain = (1 + added) * kept * draw.log_uniform(self.camera_error)
        read = read * kept.sqrt() * draw.log_uniform(self.camera_error)
        stabilized = draw.bernoulli(self.stabilized_share)
        return standardize(*stabilize_chosen(counts, light, gain, read, stabilized))

    def _light(self, signal: Tensor, photons: Tensor, noise: Tensor, draw: PerImage) -> Tensor:
        """Return the light of a signal in photons; where it is faint, its mean is background."""
        inside = tuple(range(1, signal.ndim))
        light = ((signal + 1) / 2).clamp_min(0.0)
        light = light - draw.uniform(0.0, 1.0) * light.amin(inside, keepdim=True)
        light = light / light.mean(inside, keepdim=True).clamp_min(1e-6) * photons
        contrast = (light - photons).square().mean(inside, keepdim=True).sqrt().clamp_min(1e-6)
        wanted = draw.log_uniform(self.signal_to_noise) * noise / contrast
        faint = draw.bernoulli(self.faint_share)
        return light.where(~faint, photons + wanted.clamp_max(1.0) * (light - photons))

    def _lines(self, counts: Tensor, draw: PerImage) -> Tensor:
        """Return an offset for each row of some images, for each column of others, or 0."""
        rows = _normal(counts[..., :1], draw.generator)
        columns = _normal(counts[..., :1, :], draw.generator)
        size = draw.log_uniform(self.line_offset) * draw.bernoulli(self.line_share)
        return size * rows.where(draw.bernoulli(0.5), columns)

    def _kernels(self, draw: PerImage) -> tuple[Tensor, Tensor]:
        """Return four weights along Y and four along X, (4, N, 1, ...), that counts are mixed by.

        The second is a pixel's own: it is 1 where neighbors share nothing.
        """
        shared = draw.bernoulli(self.shared_share)
        smoothing = draw.log_uniform(self.smoothing) * draw.bernoulli(0.5) * shared
        axes = []
        for _ in "YX":
            shift = draw.uniform(0.0, 1.0) * draw.bernoulli(0.5) * shared
            axes.append(_kernel(shift, smoothing))
        return axes[0], axes[1]

    def _to_levels(
        self, counts: Tensor, light: Tensor, noise: Tensor, draw: PerImage
    ) -> tuple[Tensor, Tensor]:
        """Round counts to steps, compress and clip some of them; the light is clipped along."""
        import torch

        inside = tuple(range(1, counts.ndim))
        floor = light.mean(inside, keepdim=True) * draw.uniform(*self.floor)
        counts = torch.where(draw.bernoulli(self.floor_share), counts.maximum(floor), counts)
        deviation, mean = torch.std_mean(counts, inside, keepdim=True)
        ceiling = mean + deviation * draw.uniform(*self.ceiling)
        clipped = draw.bernoulli(self.ceiling_share)
        counts = torch.where(clipped, counts.minimum(ceiling), counts)
        light = torch.where(clipped, light.minimum(ceiling), light)
        step = noise * draw.log_uniform(self.quantum)
        rounded = (counts / step).round() * step
        counts = torch.where(draw.bernoulli(self.quantized_share), rounded, counts)
        return _compress(counts, step, draw.bernoulli(self.compressed_share)), light


def _normal(like: Tensor, generator: Generator) -> Tensor:
    import torch

    return torch.empty_like(like).normal_(generator=generator)


def _photons(light: Tensor, generator: Generator) -> Tensor:
    import torch

    return torch.poisson(light, generator=generator)


def _multiply(photons: Tensor, added: Tensor, generator: Generator) -> Tensor:
    """Return counts of a gamma distribution around photons, whose variance is `added` times them.

    By Wilson and Hilferty's cube of a normal variate: right to a percent in mean and variance.
    """
    if not added.any():
        return photons
    ninth = (added / (9 * photons.clamp_min(1.0))).clamp_min(1e-12)
    root = 1 - ninth + ninth.sqrt() * _normal(photons, generator)
    return photons.where(added == 0, photons * root.clamp_min(0.0) ** 3)


def _kernel(shift: Tensor, smoothing: Tensor) -> Tensor:
    """Return the weights of a shift by a fraction of a pixel, behind that of both neighbors."""
    import torch

    own, other = 1 - shift, shift
    center = 1 - 2 * smoothing
    taps = (own * smoothing, own * center + other * smoothing)
    return torch.stack((*taps, own * smoothing + other * center, other * smoothing))


def _filter(images: Tensor, kernels: tuple[Tensor, Tensor]) -> Tensor:
    """Mix images by kernels of their own along Y and X; the first pixel is the last's neighbor."""
    for axis, kernel in zip((-2, -1), kernels, strict=True):
        if bool((kernel[1] < 1).any()):
            rolled = [w * images.roll(at, axis) for at, w in enumerate(kernel, start=-1)]
            images = rolled[0] + rolled[1] + rolled[2] + rolled[3]
    return images


def _squares(kernels: tuple[Tensor, Tensor]) -> Tensor:
    """Return the share of white noise's variance that kernels leave."""
    rows, columns = (kernel.square().sum(0) for kernel in kernels)
    return rows * columns


def _compress(images: Tensor, step: Tensor, chosen: Tensor) -> Tensor:
    """Round the cosine transforms of the chosen images' blocks, high frequencies more coarsely."""
    import torch

    rows, columns = (length - length % _BLOCK for length in images.shape[-2:])
    if not chosen.any() or not rows * columns:
        return images
    sides = (rows // _BLOCK, _BLOCK, columns // _BLOCK, _BLOCK)
    blocks = images[..., :rows, :columns].reshape(*images.shape[:-2], *sides)
    transform = images.new_tensor(_cosines())
    frequency = torch.arange(_BLOCK, device=images.device, dtype=images.dtype)
    steps = 1 + frequency[:, None, None] / 2 + frequency / 2  # over Y, blocks, X
    steps = steps * step.unsqueeze(-1).unsqueeze(-1)
    waves = torch.einsum("ui,...yixj,vj->...yuxv", transform, blocks, transform)
    waves = (waves / steps).round() * steps
    blocks = torch.einsum("ui,...yuxv,vj->...yixj", transform, waves, transform)
    compressed = images.clone()
    compressed[..., :rows, :columns] = blocks.flatten(-4, -3).flatten(-2)
    return torch.where(chosen, compressed, images)


def _cosines() -> NDArray[np.float64]:
    """Return the orthonormal cosine transform of a block's side."""
    at = np.arange(_BLOCK)
    waves = np.cos(pi * np.outer(at, 2 * at + 1) / (2 * _BLOCK)) * (2 / _BLOCK) ** 0.5
    waves[0] /= 2**0.5
    return np.asarray(waves)
