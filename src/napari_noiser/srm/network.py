"""The self-regression network (SRM): conv 3x3, instance norm, GELU, conv 3x3, tanh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from napari_noiser.srm.patches import patches, spread_taps

__all__ = ["SRM", "convolution"]

_EPS = 1e-5  # torch's own for instance normalisation; noise is far above it


def convolution(ndim: int) -> Callable[..., Tensor]:
    """Return torch's functional convolution for 2 or 3 spatial dimensions."""
    return functional.conv2d if ndim == 2 else functional.conv3d


class SRM(nn.Module):
    """The paper's network for training, whole images at a time, zero-padded.

    About 1,000 parameters: 55 width + 3 for three channels in 2-D. There is no shortcut (it
    would learn the identity) and the instance normalisation directly follows the first, linear
    convolution, which is what lets `napari_noiser.srm.fold` replace it by plain numbers.

    Parameters
    ----------
    channels : int
        Samples that the network sees together: 1 gray, 3 RGB.
    width : int
        Hidden channels.
    ndim : int
        2 for planes, 3 for volumes.
    generator : torch.Generator
        On the CPU; the initial weights are drawn from it.

    Notes
    -----
    Zhang et al., arXiv 2211.04700, figure 3; the order of the layers and the width are inferred.
    """

    def __init__(self, channels: int, width: int, ndim: int, generator: Generator) -> None:
        super().__init__()
        self.convolve = convolution(ndim)
        kernel = (3,) * ndim
        self.first_weight = _uniform((width, channels, *kernel), channels * 3**ndim, generator)
        self.first_bias = _uniform((width,), channels * 3**ndim, generator)
        self.second_weight = _uniform((channels, width, *kernel), width * 3**ndim, generator)
        self.second_bias = _uniform((channels,), width * 3**ndim, generator)

    def forward(self, image: Tensor) -> Tensor:
        """Map (1, C, ...) to the same shape in (-1, 1)."""
        if image.device.type == "cpu":
            return torch.tanh(self._multiply(image))
        hidden = self.convolve(image, self.first_weight, self.first_bias, padding=1)
        hidden = functional.gelu(functional.instance_norm(hidden, eps=_EPS))
        return torch.tanh(self.convolve(hidden, self.second_weight, self.second_bias, padding=1))

    def _multiply(self, image: Tensor) -> Tensor:
        """Do the same by matrix products, up to tanh: two to three times faster on a CPU.

        The normalisation is folded into the first weights by the moments of the patches, as in
        `napari_noiser.srm.fold`; the first bias cancels in it.
        """
        columns = patches(_zero_padded(image[0])).flatten(0, 1).flatten(1)
        mean = columns.mean(dim=1)
        covariance = columns @ columns.T / columns.shape[1] - torch.outer(mean, mean)
        weight = self.first_weight.flatten(1)
        variance = (weight @ covariance * weight).sum(dim=1) + _EPS
        weight = weight / variance.sqrt()[:, None]
        hidden = functional.gelu(torch.addmm(-(weight @ mean)[:, None], weight, columns))
        hidden = hidden.view(-1, *image.shape[2:])
        response: Tensor = _SpreadConvolution.apply(  # type: ignore[no-untyped-call]
            hidden, self.second_weight.flatten(2)
        )
        return response[None] + self.second_bias.view(-1, *(1 for _ in image.shape[2:]))


class _SpreadConvolution(torch.autograd.Function):
    """A zero-padded convolution from many channels to few, by what each voxel sends around it."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor) -> Tensor:
        """Map (w, ...) by weights of shape (C, w, 3**ndim) to (C, ...)."""
        ctx.save_for_backward(hidden, weight)
        senders = weight.permute(2, 0, 1).flatten(0, 1)
        return spread_taps((senders @ hidden.flatten(1)).view(-1, len(weight), *hidden.shape[1:]))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        hidden, weight = ctx.saved_tensors
        # What a voxel sent to one side comes back from there: the patches, the other way round.
        returned = patches(_zero_padded(gradient)).flatten(0, 1).flatten(1)
        to_hidden = weight.permute(1, 0, 2).flip(2).flatten(1) @ returned
        to_weight = (returned @ hidden.flatten(1).T).view(len(weight), -1, len(hidden)).flip(1)
        return to_hidden.view(hidden.shape), to_weight.permute(0, 2, 1)


def _zero_padded(image: Tensor) -> Tensor:
    """Add a voxel of zeros around (C, ...)."""
    return functional.pad(image, (1, 1) * (image.ndim - 1))


def _uniform(shape: tuple[int, ...], fan_in: int, generator: Generator) -> nn.Parameter:
    """Draw as torch's convolutions do by default, without touching the global generator."""
    bound = fan_in**-0.5
    return nn.Parameter(
        torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
    )
