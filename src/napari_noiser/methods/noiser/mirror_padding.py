"""Tiles with all of their halo: mirrored where the image ends, in whole steps of its grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_noiser.methods.patches import Halo

__all__ = ["Mirror", "mirror_indices", "pad_tile"]

Mirror = Callable[[int, int, int], Tensor]
"""Returns which pixels stand for some before a row of a length, for the row and for some after."""


def mirror_indices(before: int, length: int, after: int) -> Tensor:
    """Return which of some pixels stand in a row of more, mirrored at both ends of theirs."""
    period = max(2 * (length - 1), 1)
    places = torch.arange(-before, length + after).remainder(period)
    return torch.minimum(places, period - places).clamp_max(length - 1)


def pad_tile(
    tile: Tensor,
    halo: Halo,
    corner: Sequence[int],
    needs: Sequence[tuple[int, int]],
    mirror: Mirror = mirror_indices,
) -> tuple[Tensor, tuple[slice, ...]]:
    """Return a tile with as much of a halo as is needed, and where in it its inner part lies.

    Parameters
    ----------
    tile : Tensor
        (N, C, ...), with some of its halo.
    halo : Halo
        How much; less than what is needed only where the image ends.
    corner : sequence of int
        Where in the image the tile's first voxel lies. A grid of the image's stays where it is,
        whatever tile is cut out of it.
    needs : sequence of (int, int)
        For each of the tile's last axes as far as there are needs: how far to reach, and after
        how many voxels the grid repeats itself.
    mirror : callable
        How the image goes on where it ends.
    """
    inner = []
    first = tile.ndim - len(needs)
    sides = zip(halo[-len(needs) :], corner[-len(needs) :], needs, strict=True)
    for axis, ((low, high), at, (reach, step)) in enumerate(sides, start=first):
        length = tile.shape[axis]
        before = max(reach - low, 0)
        before += (at - before) % step
        after = max(reach - high, 0)
        after += -(before + length + after) % step
        tile = tile.index_select(axis, mirror(before, length, after).to(tile.device))
        inner.append(slice(before + low, before + length - high))
    return tile, tuple(inner)
