"""A measured image: any model, slider or exposure can be shown without reading it all again.

torch is imported in here, off the GUI thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.plugin.source import ImageSource
from napari_noiser.progress import Event
from napari_noiser.stack.axes import Layout, Statistics

if TYPE_CHECKING:
    from napari_noiser.stack.deferred import Deferred
    from napari_noiser.stack.steps import Moments
    from napari_noiser.stack.values import Stack
    from napari_noiser.stack.work import Method

__all__ = ["Measured", "Picture", "measure"]


@dataclass(frozen=True)
class Picture:
    """One way to show a measured image.

    Attributes
    ----------
    levels : list of Deferred
        Rendered where they are looked at, the finest first.
    provenance : dict
        How.
    """

    levels: list[Deferred]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """An image whose patches were measured, each plane (or volume) for itself.

    Moments merge exactly, so one measurement serves every shared exposure, and every model that
    sees the same samples and dimensions.

    Attributes
    ----------
    source : ImageSource
        What was measured.
    stacks : tuple of Stack
        Its levels, each of which holds on to the part that was last looked at.
    moments : tuple of mapping
        Of each image, for each level.
    mask : str, optional
        The fingerprint of the mask that it was measured in.
    """

    source: ImageSource
    stacks: tuple[Stack, ...]
    moments: tuple[Moments, ...]
    mask: str | None = None
    _merged: dict[str, list[Moments]] = field(default_factory=dict, repr=False)

    def picture(
        self,
        model: str | PathLike[str] | Method = "noiser",
        *,
        statistics: Statistics = "stack",
        **options: Any,
    ) -> Picture:
        """Return the image as a model renders it: in milliseconds, since nothing is read.

        Parameters
        ----------
        model, statistics : see `napari_noiser.enhance`
            The model is for the samples and dimensions that were measured.
        **options
            brightness, contrast, device, dtype: as in `napari_noiser.enhance`.

        Returns
        -------
        Picture
            Equal to what `napari_noiser.enhance` makes, to float rounding.

        Raises
        ------
        TypeError, ValueError
            As in `napari_noiser.enhance`; or if a recipe has to be trained first.
        """
        from napari_noiser.stack.live import live_image
        from napari_noiser.stack.work import plan

        layout = self.stacks[0].layout
        check_trained(model, layout)
        options |= {"axes": layout.axes, "ndim": layout.ndim, "statistics": statistics}
        # A plan looks at shape and type only: nothing is read for it.
        works = [
            replace(plan(_nothing(level, stack), model, **options), stack=stack)
            for level, stack in zip(self.source.levels, self.stacks, strict=True)
        ]
        exposures = self._exposures(statistics)
        views = [live_image(work, each) for work, each in zip(works, exposures, strict=True)]
        return Picture(views, {**works[0].describe(), "mask": self.mask})

    def _exposures(self, statistics: Statistics) -> list[Moments]:
        if statistics not in self._merged:
            self._merged[statistics] = [
                merged(moments, stack.layout, statistics)
                for moments, stack in zip(self.moments, self.stacks, strict=True)
            ]
        return self._merged[statistics]


def measure(
    source: ImageSource,
    model: str | PathLike[str] | Method = "noiser",
    *,
    ndim: int = 2,
    mask: Any = None,
    device: str = "auto",
) -> Generator[Event, None, Measured]:
    """Measure a layer's image, for any model of this kind.

    Parameters
    ----------
    source : ImageSource
        Each level of a multiscale layer is measured for itself.
    model : str, path or Method
        Any that sees the same samples and dimensions as those to be shown.
    ndim, mask, device
        As in `napari_noiser.enhance`.

    Yields
    ------
    TileDone
        Once a tile.

    Returns
    -------
    Measured
        To be looked at.

    Raises
    ------
    TypeError, ValueError
        As in `napari_noiser.enhance`; or if a recipe has to be trained first.
    """
    from napari_noiser.plugin.keeping import mask_for_level
    from napari_noiser.stack.steps import check_signal, measure_steps
    from napari_noiser.stack.work import plan

    check_trained(model, Layout.of(tuple(source.array.shape), source.axes, ndim))
    options: dict[str, Any] = {"axes": source.axes, "ndim": ndim, "device": device}
    each_alone = "plane" if ndim == 2 else "volume"
    works = [
        plan(
            level,
            model,
            statistics=each_alone,
            mask=mask_for_level(mask, source, level),
            **options,
        )
        for level in source.levels
    ]
    found: list[Moments] = []
    for work in works:
        moments: Moments = {}
        for event in measure_steps(work, moments=moments):
            yield event
            if event.done == event.total:
                break  # before it warns of empty planes: others may share their exposure
        work.room.release()
        check_signal(merged(moments, work.stack.layout, "stack").values())
        found.append(moments)
    stacks = tuple(replace(work.stack, array=_Remembering(work.stack.array)) for work in works)
    return Measured(source, stacks, tuple(found), works[0].describe()["mask"])


def merged(moments: Moments, layout: Layout, statistics: Statistics) -> Moments:
    """Return the moments of each exposure, from those of each image for itself."""
    exposures: Moments = {}
    for image, found in moments.items():
        exposure = layout.exposure(image, statistics)
        exposures[exposure] = exposures[exposure] + found if exposure in exposures else found
    return exposures


def check_trained(model: Any, layout: Layout) -> None:
    """Raise a `ValueError` if a model is the name of a recipe that has to be trained first."""
    from napari_noiser.srm.model import BUNDLED
    from napari_noiser.srm.recipe import RECIPES, Recipe

    form = (model, layout.samples, layout.ndim)
    named = isinstance(model, str) and model in RECIPES and form not in BUNDLED
    if named or isinstance(model, Recipe):
        name = model if named else model.name
        raise ValueError(f"{name} has to be trained first for this image: press Train")


def _nothing(level: Any, stack: Stack) -> NDArray[Any]:
    """Return an array of a level's shape and type that takes no memory."""
    return np.broadcast_to(np.zeros((), level.dtype), stack.layout.shape)


class _Remembering:
    """An array that holds on to the part last read: a slider asks for the same one again."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._last: tuple[Any, NDArray[Any]] | None = None

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        last = self._last  # one look: others may read on another thread
        if last is None or last[0] != box:
            last = self._last = box, np.asarray(self._array[box])
        return last[1]
