"""Masks and gain maps of dask arrays: in the image's blocks."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from napari_noiser.srm.patches import Halo
from napari_noiser.stack.axes import Layout
from napari_noiser.stack.beside import placed_beside
from napari_noiser.stack.gain_map import GainMap
from napari_noiser.stack.masks import place_mask
from napari_noiser.stack.values import is_dask

__all__ = ["gain_blocks", "inner_shape", "mask_blocks", "mask_of_block"]


def mask_blocks(mask: Any, image: Any, layout: Layout) -> Any:
    """Return a mask with the image's axes and blocks, of length 1 where it is to be repeated."""
    # Another lazy array stays where it is as well, and is read in its own chunks.
    array = mask if is_dask(mask) else da.asarray(mask)
    placed = place_mask(array, layout) != 0
    whole = placed[tuple(None if letter == "S" else slice(None) for letter in layout.axes)]
    return whole.rechunk(
        tuple(
            each if length > 1 else 1
            for each, length in zip(image.chunks, whole.shape, strict=True)
        )
    )


def gain_blocks(gain: GainMap, image: Any, layout: Layout) -> Any:
    """Return a gain map with the image's axes but S, whole, and the image's blocks."""
    array = gain.array if is_dask(gain.array) else da.asarray(gain.array)
    placed = placed_beside(array, gain.axes, gain.layout)
    whole = da.broadcast_to(placed, gain.layout.shape)
    whole = whole[tuple(None if letter == "S" else slice(None) for letter in layout.axes)]
    return whole.rechunk(
        tuple(
            1 if letter == "S" else each
            for letter, each in zip(layout.axes, image.chunks, strict=True)
        )
    )


def mask_of_block(mask: NDArray[np.bool_], layout: Layout, margin: Halo) -> NDArray[np.bool_]:
    """Return a mask as `Work` takes it, repeated and with room for the neighbours' edges."""
    sides = dict(zip(layout.spatial, margin, strict=True))
    whole = layout.without_samples
    if "S" in layout.axes:
        mask = mask.squeeze(layout.axes.index("S"))
    here = np.broadcast_to(mask, inner_shape(whole, margin))
    return np.pad(here, [sides.get(letter, (0, 0)) for letter in whole.axes])


def inner_shape(layout: Layout, margin: Halo) -> list[int]:
    """Return the shape of a block without its neighbours' edges."""
    edges = {letter: sum(sides) for letter, sides in zip(layout.spatial, margin, strict=True)}
    return [
        length - edges.get(letter, 0)
        for letter, length in zip(layout.axes, layout.shape, strict=True)
    ]
