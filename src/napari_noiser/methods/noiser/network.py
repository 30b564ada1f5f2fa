"""The self-regression network (SRM): conv 3x3, instance norm, GELU, conv 3x3, tanh."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

EPS = 1e-5
"""Torch's own, for instance normalization; the variance of noise is far above it."""


def convolution(ndim: int) -> Callable[..., Tensor]:
    """Return torch's functional convolution for 2 or 3 spatial dimensions."""
    return functional.conv2d if ndim == 2 else functional.conv3d


class SRM(nn.Module):
    """The paper's network for training, whole images at a time, zero-padded.

    About 1,000 parameters: 55 width + 3 for three channels in 2-D, drawn from a generator on the
    CPU. There is no shortcut (it would learn the identity) and the instance normalization directly
    follows the first, linear convolution, which is what lets `napari_noiser.methods.noiser.fold`
    replace it by plain numbers.

    Notes
    -----
    Zhang et al., arXiv 2211.04700, figure 3; the order of the layers and the width are inferred.
    """

    def __init__(self, samples: int, width: int, ndim: int, generator: Generator) -> None:
        super().__init__()
        self.convolve = convolution(ndim)
        kernel = (3,) * ndim
        self.first_weight = uniform_parameter(
            (width, samples, *kernel), samples * 3**ndim, generator
        )
        self.first_bias = uniform_parameter((width,), samples * 3**ndim, generator)
        self.second_weight = uniform_parameter(
            (samples, width, *kernel), width * 3**ndim, generator
        )
        self.second_bias = uniform_parameter((samples,), width * 3**ndim, generator)

    def forward(self, image: Tensor) -> Tensor:
        """Map (1, C, ...) to the same shape in (-1, 1)."""
        hidden = self.convolve(image, self.first_weight, self.first_bias, padding=1)
        hidden = functional.gelu(functional.instance_norm(hidden, eps=EPS))
        return torch.tanh(self.convolve(hidden, self.second_weight, self.second_bias, padding=1))


def uniform_parameter(shape: tuple[int, ...], fan_in: int, generator: Generator) -> nn.Parameter:
    """Draw as torch's convolutions do by default, without touching the global generator."""
    bound = fan_in**-0.5
    return nn.Parameter(
        torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
    )
