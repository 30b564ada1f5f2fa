"""An image that is enhanced as it is looked at: measured before, rendered where it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.arrays.layout import ImageIndex, Region
from napari_noiser.arrays.lazy_view import Deferred
from napari_noiser.engine.moments import PatchMoments
from napari_noiser.engine.plan import Work
from napari_noiser.engine.render import Response, cut_out, folding

__all__ = ["Responses", "live_image", "toned_image"]

_SIDE = 1024


def live_image(work: Work, moments: Mapping[ImageIndex, PatchMoments]) -> Deferred:
    """Return an enhanced image of which nothing is rendered before it is read.

    Parameters
    ----------
    work : Work
        What is rendered, and how.
    moments : mapping
        Of each exposure, from `measure_steps`.

    Returns
    -------
    Deferred
        Equal to what `enhance` returns, to float rounding. Each view is rendered when it is
        read, by ``numpy.asarray(view)``, from the part of the image that it shows and the halo
        around it. It may be read on several threads.
    """
    return toned_image(work, Responses(work, moments))


def toned_image(work: Work, respond: Callable[[Region], Iterable[Response]]) -> Deferred:
    """Return an image of which only the responses have to be rendered; see `live_image`.

    Parameters
    ----------
    work : Work
        Its brightness, contrast and dtype are those of the image.
    respond : callable
        `Responses`, or what remembers some.
    """
    layout = work.stack.layout
    chunks = tuple(
        length if letter == "S" else min(length, _SIDE) if letter in "YX" else 1
        for letter, length in zip(layout.axes, layout.shape, strict=True)
    )
    return Deferred.whole(partial(_toned, work, respond), layout.shape, work.dtype, chunks)


class Responses:
    """Responds to any box of an image, one at a time: their memory is shared.

    Parameters
    ----------
    work, moments
        As of `live_image`; brightness, contrast and dtype do not matter.
    """

    def __init__(self, work: Work, moments: Mapping[ImageIndex, PatchMoments]) -> None:
        self._work = work
        self._folded = folding(work, moments)
        self._lock = Lock()

    def __call__(self, place: Region) -> Iterator[Response]:
        """Yield the responses to a box, which holds all samples."""
        reach = self._work.reach(self._work.halo)
        read = _widened(place, reach, self._work.stack.layout.shape)
        work = replace(self._work, side=_flat_side(self._work, place))
        with self._lock:
            values = np.asarray(work.stack.array[read])
            for responses in cut_out(work, values, read, place, work.gain).respond(self._folded):
                yield from responses


def _toned(
    work: Work, respond: Callable[[Region], Iterable[Response]], box: Region
) -> NDArray[Any]:
    """Return a box of the image."""
    layout = work.stack.layout
    place = tuple(  # a model sees all color samples together
        slice(0, length) if letter == "S" else part
        for letter, length, part in zip(layout.axes, layout.shape, box, strict=True)
    )
    toned = np.empty([part.stop - part.start for part in place], work.dtype)
    for each in respond(place):
        layout.write(toned, each.image, each.place, each.result(work))
    if "S" in layout.axes:
        samples = layout.axes.index("S")
        return toned[(slice(None),) * samples + (box[samples],)]
    return toned


def _flat_side(work: Work, place: Region) -> int:
    """Return the side of the tiles of a box, which hold as many voxels as ever if it is flat.

    Half the halo is counted: what lies between two convolutions takes the time. With the tiles of
    a volume, a single plane of it takes four times as long.
    """
    layout, edges = work.stack.layout, max(work.halo)
    lengths = (place[layout.axes.index(letter)] for letter in layout.spatial)
    flat = min(work.side, *(part.stop - part.start for part in lengths))
    spread = (work.side + edges) ** layout.ndim / (flat + edges)
    return int(spread ** (1 / (layout.ndim - 1)) + 0.5) - edges


def _widened(place: Region, reach: tuple[int, ...], shape: tuple[int, ...]) -> Region:
    """Return a box with its neighbors' edges, as far as there are neighbors."""
    return tuple(
        slice(max(0, part.start - far), min(length, part.stop + far))
        for part, far, length in zip(place, reach, shape, strict=True)
    )
