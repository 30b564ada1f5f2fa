"""One block of an array: measured and rendered, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_noiser.srm.patches import Halo
from napari_noiser.stack.axes import ImageIndex, Layout, Region
from napari_noiser.stack.masks import Mask
from napari_noiser.stack.moments import PatchMoments, patch_moments
from napari_noiser.stack.tiles import Tile, tile_count, tiles
from napari_noiser.stack.values import to_output
from napari_noiser.stack.work import Folded, Work

__all__ = ["Block", "cut_out", "fold_exposures"]

_NO_HALO: Halo = ((0, 0),) * 3


@dataclass(frozen=True)
class Block:
    """A part of a larger array, cut out with its neighbours' edges.

    Attributes
    ----------
    work : Work
        What to do with it: its stack is the part.
    margin : Halo
        How much of the part, along each spatial axis, are its neighbours' edges.
    first : ImageIndex
        Which of the larger array's images its first image is.
    mask : array, optional
        That of the part, without S: not 0 where a pixel is to be measured.
    """

    work: Work
    margin: Halo
    first: ImageIndex
    mask: NDArray[Any] | None = None

    @property
    def tile_count(self) -> int:
        """How many tiles there are in all its images."""
        layout = self.work.stack.layout
        lengths = (
            length - sum(edges)
            for length, edges in zip(layout.image_shape, self.margin, strict=True)
        )
        images = prod(layout.shape[layout.axes.index(letter)] for letter in layout.outer)
        return images * tile_count(tuple(lengths), self.work.side)

    def measure(self) -> Iterator[tuple[ImageIndex, PatchMoments]]:
        """Yield for each tile its exposure and the moments of the patches centred in it."""
        for image, tile in self._tiles(halo=1):
            measure = partial(_measure_tile, self.work, self.mask, image)
            found = (moments for _, moments in self.work.room.fit(tile, 1, measure))
            yield self._exposure(image), sum(found, self.work.no_moments)

    def render(self, folded: Mapping[ImageIndex, Folded], out: Any) -> Iterator[None]:
        """Fill an array of the block's shape, margin taken off; yield after each tile.

        Parameters
        ----------
        folded : mapping
            The method for each exposure; one that is missing comes out flat at 0.5.
        out : array
            In the result's type.
        """
        layout, low = self.work.stack.layout, [before for before, _ in self.margin]
        halo = self.work.method.halo
        for image, tile in self._tiles(halo):
            render = partial(_render_tile, self.work, folded.get(self._exposure(image)), image)
            for piece, rendered in self.work.room.fit(tile, halo, render):
                place = tuple(
                    slice(there.start - before, there.stop - before)
                    for there, before in zip(piece.place, low, strict=True)
                )
                layout.write(out, image, place, rendered)
            yield

    def _tiles(self, halo: int) -> Iterator[tuple[ImageIndex, Tile]]:
        layout = self.work.stack.layout
        for image in layout.images():
            for tile in tiles(layout.image_shape, self.work.side, halo, self.margin):
                yield image, tile

    def _exposure(self, image: ImageIndex) -> ImageIndex:
        return self.work.exposure(tuple(map(sum, zip(image, self.first, strict=True))))


def cut_out(
    work: Work, values: NDArray[Any], box: Region, place: Region, mask: Mask | None = None
) -> Block:
    """Return a block of the stack that some work is about.

    Parameters
    ----------
    work : Work
        About the whole.
    values : array
        What ``box`` holds.
    box : Region
        What was read.
    place : Region
        The same without the neighbours' edges.
    mask : Mask, optional
        To measure with: it is read here.
    """
    layout = work.stack.layout
    here = dict(zip(layout.axes, zip(box, place, strict=True), strict=True))
    part = Layout(layout.axes, values.shape, layout.ndim)
    return Block(
        replace(work, stack=replace(work.stack, array=values, layout=part)),
        tuple(
            (inner.start - outer.start, outer.stop - inner.stop)
            for outer, inner in (here[letter] for letter in layout.spatial)
        ),
        tuple(here[letter][1].start for letter in layout.outer),
        None if mask is None else mask.read(tuple(here[a][0] for a in mask.layout.axes)),
    )


def fold_exposures(
    work: Work, moments: Mapping[ImageIndex, PatchMoments]
) -> dict[ImageIndex, Folded]:
    """Return the method folded for each exposure that has a signal."""

    def fold(found: PatchMoments) -> Folded:
        return work.method.fold(found.mean, found.covariance, work.room.device)

    return {
        exposure: work.room.try_here(partial(fold, found))
        for exposure, found in moments.items()
        if found.has_signal
    }


def _measure_tile(
    work: Work, mask: NDArray[Any] | None, image: ImageIndex, tile: Tile
) -> PatchMoments:
    """Return the moments of the patches centred in a tile, read with a halo of 1."""
    # torch has no float64 on Apple's GPUs; the moments need it.
    device = torch.device("cpu") if work.room.device.type == "mps" else work.room.device
    raw = work.stack.read(image, tile.read)
    if mask is None and _constant(raw):
        one = torch.from_numpy(work.stack.exact(_one_voxel(raw)))
        count = prod(part.stop - part.start for part in tile.place)
        found = patch_moments(one, _NO_HALO[: work.stack.layout.ndim])
        return replace(found, count=found.count * count)
    values = work.stack.exact(raw)
    inside = None
    if mask is not None:
        here = work.stack.layout.without_samples.read(mask, image, tile.place)[0]
        inside = torch.from_numpy(here != 0).to(device)
    return patch_moments(torch.from_numpy(values).to(device), tile.halo, inside, work.room.scratch)


def _render_tile(
    work: Work, network: Folded | None, image: ImageIndex, tile: Tile
) -> NDArray[Any]:
    """Return (S, *spatial) in the result's type for a tile's place: flat without a network."""
    raw = work.stack.read(image, tile.read)
    kept = raw[(slice(None), *_inner(tile))]
    if network is None:
        enhanced = np.full((work.stack.layout.samples, *kept.shape[1:]), 0.5, np.float32)
    elif _constant(raw):
        one = _render(network, _one_voxel(raw), _NO_HALO[: work.stack.layout.ndim], work)
        enhanced = np.broadcast_to(one, (len(one), *kept.shape[1:])).copy()
    else:
        enhanced = _render(network, raw, tile.halo, work)
    return to_output(enhanced, kept, work.dtype)


@torch.inference_mode()
def _render(network: Folded, raw: NDArray[Any], halo: Halo, work: Work) -> NDArray[np.float32]:
    """Return (samples, *spatial) in [0, 1] for a tile as it was read, halo taken off."""
    values = work.stack.normalised(raw, network.centre, network.scale)
    device = work.room.device
    tile = torch.from_numpy(values)[None].to(device)
    with _full_precision(device):
        response = network.to(device)(tile, halo, work.room.scratch)
    # (tanh(z) + 1) / 2 is the logistic function of 2 z
    response.mul_(2 * work.contrast).add_(2 * work.brightness).sigmoid_()
    result: NDArray[np.float32] = response[0].cpu().numpy()
    return result


def _full_precision(device: torch.device) -> AbstractContextManager[None]:
    """Keep CUDA's convolutions in float32: TF32's ten bits would make tiles differ."""
    if device.type == "cuda":
        return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    return nullcontext()


def _constant(raw: NDArray[Any]) -> bool:
    """Return whether each sample is the same everywhere, as in the unwritten parts of a store."""
    first, last = (raw[(slice(None), *(at,) * (raw.ndim - 1))] for at in (0, -1))
    return bool((first == last).all() and (raw == _one_voxel(raw)).all())


def _one_voxel(raw: NDArray[Any]) -> NDArray[Any]:
    return raw[(slice(None), *(slice(1),) * (raw.ndim - 1))]


def _inner(tile: Tile) -> tuple[slice, ...]:
    """Where a tile's place lies within what was read for it."""
    return tuple(
        slice(place.start - read.start, place.stop - read.start)
        for place, read in zip(tile.place, tile.read, strict=True)
    )
