"""The self-regression network (SRM): conv 3x3, instance norm, GELU, conv 3x3, tanh.

A few random filters answer brighter and darker sides differently, and mix colors at random: the
paper's network, as trained here, moves structures by up to a pixel, embosses them, and casts a
color. Where each filter stands in all flips and quarter turns, and for the samples in each cyclic
order, and the second layer's with it, the response to a turned image is the turned response,
exactly. What is learned, and kept in a model's file, is each filter once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
    replace it by plain numbers. A symmetric one has a hidden channel for each orientation of its
    filters, and learns the filters.

    Notes
    -----
    Zhang et al., arXiv 2211.04700, figure 3; the order of the layers and the width are inferred.
    The symmetry is not theirs, nor is `napari_noiser.methods.noiser.network.balance`.
    """

    first_weight: nn.Parameter
    first_bias: nn.Parameter
    second_weight: nn.Parameter
    second_bias: nn.Parameter
    orientations: Tensor

    def __init__(
        self, samples: int, width: int, ndim: int, generator: Generator, symmetric: bool = False
    ) -> None:
        super().__init__()
        self.convolve = convolution(ndim)
        matrix = orientation_matrix(samples, ndim, symmetric)
        self.register_buffer("orientations", matrix, persistent=False)
        shapes = filter_shapes(samples, width, ndim, symmetric)
        hidden = shapes["first_bias"][0] * orientation_count(samples, ndim, symmetric)
        for name, shape in shapes.items():
            fan_in = (samples if name.startswith("first") else hidden) * 3**ndim
            parameter = uniform_parameter(shape, fan_in, generator)
            if symmetric and name.endswith("weight"):
                parameter.data = balance(name, parameter.data, matrix, (3 * fan_in) ** -0.5)
            self.register_parameter(name, parameter)

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


# Filters in all their orientations.

_HIDDEN_AXES = {"first_weight": 0, "second_weight": 1}


def orientation_count(samples: int, ndim: int, symmetric: bool) -> int:
    """Return in how many orientations a filter stands: 8 in a plane, 16 in a volume, or only 1.

    Times the cyclic orders of the samples.
    """
    return 8 * (ndim - 1) * samples if symmetric else 1


def filter_shapes(
    samples: int, width: int, ndim: int, symmetric: bool
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what a network learns, by name; see `Recipe.width`."""
    kernel, filters = (3,) * ndim, max(1, width // samples) if symmetric else width
    return {
        "first_weight": (filters, samples, *kernel),
        "first_bias": (filters,),
        "second_weight": (samples, filters, *kernel),
        "second_bias": (1 if symmetric else samples,),
    }


def orientation_matrix(samples: int, ndim: int, symmetric: bool) -> Tensor:
    """Return the matrix, (values, orientations * values), from a filter to all its orientations.

    The filter is a row of samples * 3**ndim values. Without symmetry there is one orientation.
    """
    values = samples * 3**ndim
    turned = [torch.eye(values).view(-1, samples, *(3,) * ndim)]
    if symmetric:
        turned = [turned[0].rot90(turns, (-2, -1)) for turns in range(4)]
        for axis in (-1, -3)[: ndim - 1]:
            turned += [each.flip(axis) for each in turned]
        turned = [each.roll(order, 1) for order in range(samples) for each in turned]
    return torch.stack([each.flatten(1) for each in turned], dim=1).flatten(1)


def balance(name: str, weight: Tensor, matrix: Tensor, deviation: float) -> Tensor:
    """Return random filters with equal shares of what their orientations have in common.

    It lets light pass, and its sign says whether what is dark or what is bright is damped: signs
    alternate. Where filters are few and both are drawn at random, the curve from light to gray is
    a matter of luck.
    """
    filters = weight.movedim(_HIDDEN_AXES[name], 0)
    rows = filters.flatten(1)
    projection = matrix.view(len(matrix), -1, len(matrix)).mean(1)
    shared = projection.trace()
    common = rows @ projection
    rest = functional.normalize(rows - common) * (len(matrix) - shared).sqrt()
    signs = common.sum(1, keepdim=True).sign()
    signs[1::2] *= -1
    common = functional.normalize(common) * signs * shared.sqrt()
    balanced: Tensor = (deviation * (common + rest)).view(filters.shape)
    return balanced.movedim(0, _HIDDEN_AXES[name]).contiguous()


def expand_all(weights: Mapping[str, Tensor], matrix: Tensor) -> dict[str, Tensor]:
    """Return all weights of the network for the hidden channels of all orientations.

    Channels are ordered by orientation, then by filter.
    """
    count = matrix.shape[1] // len(matrix)
    return {
        **{name: _expand(weights[name], axis, matrix) for name, axis in _HIDDEN_AXES.items()},
        "first_bias": weights["first_bias"].repeat(count),
        "second_bias": weights["second_bias"].expand(len(weights["second_weight"])),
    }


def _expand(weight: Tensor, axis: int, matrix: Tensor) -> Tensor:
    filters = weight.movedim(axis, 0)
    turned = (filters.flatten(1) @ matrix).view(len(filters), -1, *filters.shape[1:])
    return turned.transpose(0, 1).flatten(0, 1).movedim(0, axis)


def collect(name: str, gradient: Tensor, matrix: Tensor) -> Tensor:
    """Return the gradient of filters from that of what `expand_all` made of them.

    Kernels are flat: (A, B, taps).
    """
    axis, count = _HIDDEN_AXES[name], matrix.shape[1] // len(matrix)
    turned = gradient.movedim(axis, 0)
    shape = len(turned) // count, *turned.shape[1:]
    collected: Tensor = turned.reshape(count, *shape).transpose(0, 1).flatten(1) @ matrix.T
    return collected.view(shape).movedim(0, axis)
