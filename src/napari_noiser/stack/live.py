"""An image that is enhanced as it is looked at: measured before, rendered where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.stack.axes import ImageIndex, Region
from napari_noiser.stack.deferred import Deferred
from napari_noiser.stack.moments import PatchMoments
from napari_noiser.stack.render import cut_out, fold_exposures
from napari_noiser.stack.work import Work

__all__ = ["live_image"]

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
    layout = work.stack.layout
    chunks = tuple(
        length if letter == "S" else min(length, _SIDE) if letter in "YX" else 1
        for letter, length in zip(layout.axes, layout.shape, strict=True)
    )
    return Deferred.whole(_Renderer(work, moments), layout.shape, work.dtype, chunks)


class _Renderer:
    """Renders any box of an image, one at a time: their memory is shared."""

    def __init__(self, work: Work, moments: Mapping[ImageIndex, PatchMoments]) -> None:
        self._work = work
        self._folded = fold_exposures(work, moments)
        self._lock = Lock()

    def __call__(self, box: Region) -> NDArray[Any]:
        layout, halo = self._work.stack.layout, self._work.method.halo
        place = tuple(  # a model sees all colour samples together
            slice(0, length) if letter == "S" else part
            for letter, length, part in zip(layout.axes, layout.shape, box, strict=True)
        )
        reach = [halo if letter in layout.spatial else 0 for letter in layout.axes]
        read = _widened(place, reach, layout.shape)
        rendered = np.empty([part.stop - part.start for part in place], self._work.dtype)
        with self._lock:
            values = np.asarray(self._work.stack.array[read])
            for _ in cut_out(self._work, values, read, place).render(self._folded, rendered):
                pass
        if "S" in layout.axes:
            samples = layout.axes.index("S")
            return rendered[(slice(None),) * samples + (box[samples],)]
        return rendered


def _widened(place: Region, reach: list[int], shape: tuple[int, ...]) -> Region:
    """Return a box with its neighbours' edges, as far as there are neighbours."""
    return tuple(
        slice(max(0, part.start - far), min(length, part.stop + far))
        for part, far, length in zip(place, reach, shape, strict=True)
    )
