"""An image that is enhanced as it is looked at: measured before, rendered where it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.chunks import widen
from napari_noiser.arrays.layout import ImageIndex, Slices
from napari_noiser.arrays.lazy_view import LazyView
from napari_noiser.arrays.reader import read_region
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.plan import Plan
from napari_noiser.engine.render import Response, cached_fold, extract_block

_SIDE = 1024


def live_image(plan: Plan, moments: Mapping[ImageIndex, PatchMoments]) -> LazyView:
    """Return an enhanced image of which nothing is rendered before it is read.

    Parameters
    ----------
    plan : Plan
        What is rendered, and how.
    moments : mapping
        Of each statistics group, from `measure_steps`.

    Returns
    -------
    LazyView
        Equal to what `enhance` returns, to float rounding. Each view is rendered when it is
        read, by ``numpy.asarray(view)``, from the part of the image that it shows and the halo
        around it. It may be read on several threads.
    """
    return live_view(plan, Responses(plan, moments))


def live_view(plan: Plan, respond: Callable[[Slices], Iterable[Response]]) -> LazyView:
    """Return an image of which only the responses have to be rendered; see `live_image`.

    Parameters
    ----------
    plan : Plan
        Its brightness, contrast and dtype are those of the image.
    respond : callable
        `Responses`, or what remembers some.
    """
    layout = plan.image.layout
    chunks = tuple(
        length if letter == "S" else min(length, _SIDE) if letter in "YX" else 1
        for letter, length in zip(layout.axes, layout.shape, strict=True)
    )
    return LazyView.whole(partial(_toned, plan, respond), layout.shape, plan.dtype, chunks)


class Responses:
    """Responds to any box of an image, one at a time: their memory is shared.

    Parameters
    ----------
    plan, moments
        As of `live_image`; brightness, contrast and dtype do not matter.
    """

    def __init__(self, plan: Plan, moments: Mapping[ImageIndex, PatchMoments]) -> None:
        self._plan = plan
        self._folded = cached_fold(plan, moments)
        self._lock = Lock()

    def __call__(self, region: Slices) -> Iterator[Response]:
        """Yield the responses to a box, which holds all samples."""
        reach = self._plan.reach(self._plan.halo)
        read = widen(region, reach, self._plan.image.layout.shape)
        plan = replace(self._plan, tile_side=_flat_side(self._plan, region))
        with self._lock:
            values = read_region(plan.image.array, read)
            beside = (plan.rendering_mask, plan.gain_map)
            block = extract_block(plan, values, read, region, *beside)
            for responses in block.respond(self._folded):
                yield from responses


def _toned(
    plan: Plan, respond: Callable[[Slices], Iterable[Response]], box: Slices
) -> NDArray[Any]:
    """Return a box of the image."""
    layout = plan.image.layout
    region = tuple(  # a model sees all color samples together
        slice(0, length) if letter == "S" else part
        for letter, length, part in zip(layout.axes, layout.shape, box, strict=True)
    )
    toned = np.empty([part.stop - part.start for part in region], plan.dtype)
    for each in respond(region):
        layout.write(toned, each.image, each.region, each.to_array(plan))
    if "S" in layout.axes:
        samples = layout.axes.index("S")
        return toned[(slice(None),) * samples + (box[samples],)]
    return toned


def _flat_side(plan: Plan, region: Slices) -> int:
    """Return the side of the tiles of a box, which hold as many voxels as ever if it is flat.

    Half the halo is counted: what lies between two convolutions takes the time. With the tiles of
    a volume, a single plane of it takes four times as long.
    """
    layout, edges = plan.image.layout, max(plan.halo)
    lengths = (region[layout.axes.index(letter)] for letter in layout.spatial)
    flat = min(plan.tile_side, *(part.stop - part.start for part in lengths))
    spread = (plan.tile_side + edges) ** layout.ndim / (flat + edges)
    return int(spread ** (1 / (layout.ndim - 1)) + 0.5) - edges
