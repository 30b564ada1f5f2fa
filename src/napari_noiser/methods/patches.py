"""3x3 (3x3x3) patches of a tile: taking them apart, putting them together, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

from torch import Tensor
from torch.nn import functional

__all__ = [
    "Halo",
    "Scratch",
    "gather_taps",
    "pad_missing",
    "patches",
    "patches_shape",
]

Halo = tuple[tuple[int, int], ...]
"""A spatial axis each: how many voxels of true neighbors a tile carries at its low and high
side. Fewer than a convolution needs means that the image ends there."""


class Scratch:
    """Memory that serves one tile after the other.

    To ask the system for it anew, and to fault its pages in, costs as much as the work itself.
    What is taken stays valid until its name is taken again; not for use by several threads.
    """

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def take(self, name: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a tensor of a shape, of whatever values, of the type and device of another."""
        size = prod(shape)
        held = self._held.get(name)
        if held is None or held.numel() < size or held.dtype != like.dtype:
            held = self._held[name] = like.new_empty(size)
        return held[:size].view(*shape)


def pad_missing(tile: Tensor, halo: Halo, needed: int) -> Tensor:
    """Repeat a tile's edge by one voxel on the sides whose halo is shorter than needed.

    Parameters
    ----------
    tile : Tensor
        (1, C, ...).
    halo : Halo
        What the tile carries.
    needed : int
        How many voxels of halo the convolutions to come take off, this one included.
    """
    pads = [int(side < needed) for sides in reversed(halo) for side in sides]
    return functional.pad(tile, pads, mode="replicate") if any(pads) else tile


def patches(image: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the patches around all voxels but the outermost as columns.

    Parameters
    ----------
    image : Tensor
        (C, ...).
    out : Tensor, optional
        To be filled, of the shape of the result.

    Returns
    -------
    Tensor
        (C, 3**ndim, ...), each spatial axis shorter by 2: channel by channel, each in the order
        of a convolution's kernel.
    """
    inner = [length - 2 for length in image.shape[1:]]
    columns = image.new_empty(patches_shape(image)) if out is None else out
    for tap, shift in enumerate(product(range(3), repeat=len(inner))):
        columns[:, tap] = image[_window(shift, inner)]
    return columns


def patches_shape(image: Tensor) -> tuple[int, ...]:
    """Return the shape of an image's `patches`."""
    samples, *spatial = image.shape
    return (samples, 3 ** len(spatial), *(length - 2 for length in spatial))


def gather_taps(taps: Tensor) -> Tensor:
    """Sum what each pixel sends to the 3x3 pixels around it: a convolution's second half.

    Parameters
    ----------
    taps : Tensor
        (N, 9, C, Y, X), of N planes, each in the order of the kernel.

    Returns
    -------
    Tensor
        (N, C, Y, X), Y and X shorter by 2.
    """
    inner = [length - 2 for length in taps.shape[3:]]
    total = taps.new_zeros((len(taps), taps.shape[2], *inner))
    for tap, shift in enumerate(product(range(3), repeat=2)):
        total += taps[:, tap][(slice(None), *_window(shift, inner))]
    return total


def _window(shift: tuple[int, ...], inner: list[int]) -> tuple[slice, ...]:
    windows = (slice(at, at + length) for at, length in zip(shift, inner, strict=True))
    return (slice(None), *windows)
