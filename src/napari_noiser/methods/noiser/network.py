"""The self-regression network (SRM): conv 3x3, instance norm, GELU, conv 3x3, tanh."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from napari_noiser.methods.noiser.symmetry import (
    expand_all,
    orientation_count,
    orientation_matrix,
)

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
    replace it by plain numbers. A symmetric one has a hidden channel for each orientation of
    `width` filters, and learns the filters.

    Notes
    -----
    Zhang et al., arXiv 2211.04700, figure 3; the order of the layers and the width are inferred.
    The symmetry is not theirs.
    """

    orientations: Tensor

    def __init__(
        self, samples: int, width: int, ndim: int, generator: Generator, symmetric: bool = False
    ) -> None:
        super().__init__()
        self.convolve = convolution(ndim)
        matrix = orientation_matrix(ndim, symmetric)
        self.register_buffer("orientations", matrix, persistent=False)
        kernel, hidden = (3,) * ndim, width * orientation_count(ndim, symmetric)
        self.first_weight = uniform_parameter(
            (width, samples, *kernel), samples * 3**ndim, generator
        )
        self.first_bias = uniform_parameter((width,), samples * 3**ndim, generator)
        self.second_weight = uniform_parameter(
            (samples, width, *kernel), hidden * 3**ndim, generator
        )
        self.second_bias = uniform_parameter((samples,), hidden * 3**ndim, generator)

    def forward(self, image: Tensor) -> Tensor:
        """Map (1, C, ...) to the same shape in (-1, 1)."""
        weights = self.expanded()
        hidden = self.convolve(image, weights["first_weight"], weights["first_bias"], padding=1)
        hidden = functional.gelu(functional.instance_norm(hidden, eps=EPS))
        last = weights["second_weight"], weights["second_bias"]
        return torch.tanh(self.convolve(hidden, *last, padding=1))

    def expanded(self) -> dict[str, Tensor]:
        """Return the weights of all hidden channels, which its convolutions take."""
        return expand_all(dict(self.named_parameters()), self.orientations)


def uniform_parameter(shape: tuple[int, ...], fan_in: int, generator: Generator) -> nn.Parameter:
    """Draw as torch's convolutions do by default, without touching the global generator."""
    bound = fan_in**-0.5
    return nn.Parameter(
        torch.empty(shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator)
    )
