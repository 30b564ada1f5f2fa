"""A deeper self-regression network: what surrounds a pixel is seen at several scales.

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

from napari_noiser.methods.noiser.network import EPS, uniform

__all__ = ["UNet", "middle_planes", "pad_to_grid", "respond", "unet_radius", "unet_shapes"]

Weights = Mapping[str, Tensor]


class UNet(nn.Module):
    """The network for training, whole images at a time, zero-padded.

    Parameters
    ----------
    samples : int
        Samples that the network sees together: 1 gray, 3 RGB.
    widths : sequence of int
        Hidden channels at full size, at a half of it along each axis, at a quarter, ...
    ndim : int
        2 for planes, 3 for planes between neighbors in z or time.
    generator : torch.Generator
        On the CPU; the initial weights are drawn from it.

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
            self.register_parameter(name, uniform(shape, fan_in, generator))

    def forward(self, image: Tensor) -> Tensor:
        """Map images to what is `pad_to_grid` of them.

        Parameters
        ----------
        image : Tensor
            (N, C, Y, X) or (N, C, Z, Y, X); Y and X are multiples of 2 ** (scales - 1).

        Returns
        -------
        Tensor
            (N, C, Y, X), or the middle planes (N, C, 1, Y, X). They are normalized with all
            planes, as they will be: the outermost ones stand for their missing neighbors.
        """
        weights = dict(self.named_parameters())

        def normalize(hidden: Tensor) -> Tensor:
            return functional.instance_norm(hidden, eps=EPS)

        def normalize_together(hidden: Tensor) -> Tensor:
            volumes = hidden.reshape(len(image), -1, *hidden.shape[1:]).transpose(1, 2)
            return pad_to_grid(normalize(volumes)).squeeze(2)

        if image.ndim == 4:
            return respond(weights, image, self.scales, normalize)
        longer = functional.pad(image, (0, 0, 0, 0, 1, 1), mode="replicate")
        planes = middle_planes(longer)
        return respond(weights, planes, self.scales, normalize_together).unsqueeze(2)


def pad_to_grid(image: Tensor) -> Tensor:
    """Return the part of images that training asks for: planes, or the middle planes of volumes.

    Parameters
    ----------
    image : Tensor
        (N, C, Y, X) or (N, C, Z, Y, X).
    """
    return image if image.ndim == 4 else image.narrow(2, image.shape[2] // 2, 1)


def middle_planes(volumes: Tensor) -> Tensor:
    """Return each plane but the outermost with its two neighbors, as channels of a plane.

    So a 3x3x3 convolution is one of 3x3.

    Parameters
    ----------
    volumes : Tensor
        (N, C, Z, Y, X).

    Returns
    -------
    Tensor
        (N * (Z - 2), C * 3, Y, X).
    """
    threes = volumes.unfold(2, 3, 1).permute(0, 2, 1, 5, 3, 4)
    return threes.flatten(2, 3).flatten(0, 1)


def respond(
    weights: Weights,
    image: Tensor,
    scales: int,
    normalize: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Return the network's response to images whose lengths the coarsest scale divides.

    Parameters
    ----------
    weights : dict of Tensor
        As of `unet_shapes`.
    image : Tensor
        (N, C, Y, X); for a network of volumes what `middle_planes` returned.
    scales : int
        How many there are, the full one included.
    normalize : callable, optional
        The instance normalization; nothing, if it was folded into the first convolution.
    """

    def layer(name: str, hidden: Tensor, stride: int = 1) -> Tensor:
        weight = weights[f"{name}_weight"].flatten(1, -3)
        padding = weight.shape[-1] // 2 if stride == 1 else 0
        return functional.conv2d(hidden, weight, weights[f"{name}_bias"], stride, padding)

    def refined(name: str, hidden: Tensor) -> Tensor:
        return hidden + functional.gelu(layer(name, hidden))

    hidden = layer("first", image.contiguous(memory_format=torch.channels_last))
    hidden = functional.gelu(hidden if normalize is None else normalize(hidden))
    hidden = refined("in0", hidden)
    finer = []
    for scale in range(1, scales):
        finer.append(hidden)
        hidden = refined(f"in{scale}", functional.gelu(layer(f"down{scale}", hidden, stride=2)))
    for scale in range(scales - 1, 0, -1):
        hidden = layer(f"up{scale}", refined(f"out{scale}", hidden))
        hidden = finer.pop() + functional.pixel_shuffle(hidden, 2)
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
