"""A small U-Net: a self-regression network that sees the surroundings at several scales.

Its first layer is the shallow network's: a convolution and the one instance normalization, known
from the moments of patches. What follows is plain, and stays so at any size of the array. Of a
volume the first layer sees each plane between its two neighbors; all that follows is 2-D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from napari_noiser.methods.noiser.network import EPS, uniform_parameter

Weights = Mapping[str, Tensor]


class UNet(nn.Module):
    """The network for training, whole images at a time, zero-padded.

    It has hidden channels of `widths` at full size, at a half of it along each axis, at a quarter,
    ... With `ndim` 3 it sees planes between neighbors in z or time. Weights are drawn on the CPU.

    Notes
    -----
    A small U-Net (Ronneberger et al., arXiv 1505.04597): convolutions 3x3 with GELU, each added
    to its input, on the way down to the coarsest scale and on the way back. No activation at the
    end: it returns light, not a display.
    """

    def __init__(
        self, samples: int, widths: Sequence[int], ndim: int, generator: Generator
    ) -> None:
        super().__init__()
        self.scales = len(widths)
        shapes = unet_shapes(samples, widths, ndim)
        for name, shape in shapes.items():
            fan_in = prod(shapes[name.replace("bias", "weight")][1:])
            self.register_parameter(name, uniform_parameter(shape, fan_in, generator))

    def forward(self, image: Tensor) -> Tensor:
        """Map images to their denoised planes, volumes to their denoised `middle_plane`.

        From (N, C, Y, X) or (N, C, Z, Y, X), Y and X multiples of 2 ** (scales - 1), to (N, C, Y,
        X) or (N, C, 1, Y, X). Middle planes are normalized with all planes, as in rendering: the
        outermost ones replace their missing neighbors.
        """
        weights = dict(self.named_parameters())

        def normalize(hidden: Tensor) -> Tensor:
            return functional.instance_norm(hidden, eps=EPS)

        def normalize_together(hidden: Tensor) -> Tensor:
            volumes = hidden.reshape(len(image), -1, *hidden.shape[1:]).transpose(1, 2)
            return middle_plane(normalize(volumes)).squeeze(2)

        if image.ndim == 4:
            return respond(weights, image, self.scales, normalize)
        longer = functional.pad(image, (0, 0, 0, 0, 1, 1), mode="replicate")
        planes = neighbors_as_channels(longer)
        return respond(weights, planes, self.scales, normalize_together).unsqueeze(2)


def middle_plane(image: Tensor) -> Tensor:
    """Return the middle planes (N, C, 1, Y, X) of volumes (N, C, Z, Y, X); planes as they are."""
    return image if image.ndim == 4 else image.narrow(2, image.shape[2] // 2, 1)


def neighbors_as_channels(volumes: Tensor) -> Tensor:
    """Return each plane of volumes (N, C, Z, Y, X) but the outermost with its two neighbors.

    They are channels: a 3x3x3 convolution of the volumes is a 3x3 one of these planes.
    """
    threes = volumes.unfold(2, 3, 1).permute(0, 2, 1, 5, 3, 4)
    return threes.flatten(2, 3).flatten(0, 1)


def respond(
    weights: Weights,
    image: Tensor,
    scales: int,
    normalize: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the response to images (N, C, Y, X) whose lengths the coarsest of all scales divides.

    A network of volumes takes what `neighbors_as_channels` returned. The weights are those of
    `unet_shapes`; there is nothing to normalize, if that was folded into the first convolution.
    """

    def layer(name: str, hidden: Tensor, stride: int = 1) -> Tensor:
        weight = weights[f"{name}_weight"].flatten(1, -3)
        padding = weight.shape[-1] // 2 if stride == 1 else 0
        return functional.conv2d(hidden, weight, weights[f"{name}_bias"], stride, padding)

    def refined(name: str, hidden: Tensor) -> Tensor:
        return functional.gelu(layer(name, hidden)).add_(hidden)

    hidden = layer("first", image.contiguous(memory_format=torch.channels_last))
    hidden = functional.gelu(hidden if normalize is None else normalize(hidden))
    hidden = refined("in0", hidden)
    finer = []
    for scale in range(1, scales):
        finer.append(hidden)
        hidden = refined(f"in{scale}", functional.gelu(layer(f"down{scale}", hidden, stride=2)))
    for scale in range(scales - 1, 0, -1):
        hidden = layer(f"up{scale}", refined(f"out{scale}", hidden))
        hidden = functional.pixel_shuffle(hidden, 2).add_(finer.pop())
    return layer("last", refined("out0", hidden))


def unet_shapes(samples: int, widths: Sequence[int], ndim: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights, in the order in which they are drawn."""
    convolutions: dict[str, tuple[int, ...]] = {"first": (widths[0], samples, *(3,) * ndim)}
    for scale, (fine, coarse) in enumerate(pairwise(widths), start=1):
        convolutions[f"down{scale}"] = (coarse, fine, 2, 2)
        convolutions[f"in{scale}"] = convolutions[f"out{scale}"] = (coarse, coarse, 3, 3)
        convolutions[f"up{scale}"] = (4 * fine, coarse, 1, 1)
    convolutions["in0"] = convolutions["out0"] = (widths[0], widths[0], 3, 3)
    convolutions["last"] = (samples, widths[0], 3, 3)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in convolutions.items():
        shapes |= {f"{name}_weight": shape, f"{name}_bias": shape[:1]}
    return shapes


def unet_radius(scales: int) -> int:
    """Return how far away in its plane a pixel can change the response, in pixels.

    The first and the last convolution reach one pixel; two at each scale reach one of its
    pixels, and a coarse pixel may begin anywhere in the coarsest.
    """
    coarsest: int = 2 ** (scales - 1)
    return 2 + 2 * (2 * coarsest - 1) + coarsest - 1
