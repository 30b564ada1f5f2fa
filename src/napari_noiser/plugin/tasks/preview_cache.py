"""A measured image: any model, slider or exposure can be shown without reading it all again.

torch is imported in here, off the GUI thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser._progress import Event
from napari_noiser.arrays.layout import Colors, Layout, Slices, Statistics
from napari_noiser.plugin.layers.snapshot import LayerSnapshot

if TYPE_CHECKING:
    from napari_noiser.arrays.image_array import Background, ImageArray
    from napari_noiser.arrays.lazy_view import LazyView
    from napari_noiser.camera.noise_model import Camera
    from napari_noiser.engine.live import Responses
    from napari_noiser.engine.passes import Moments
    from napari_noiser.engine.plan import Plan
    from napari_noiser.engine.render import Response
    from napari_noiser.methods.base import Method

__all__ = ["PreviewCache", "RenderedView", "measure"]

_BEFORE = ("gain", "cameras", "estimated", "repair", "margin", "background", "grounds")
_TONE = ("brightness", "contrast", "dtype")  # what a response does not depend on

Value = TypeVar("Value")


@dataclass(frozen=True)
class RenderedView:
    """One way to show a measured image.

    Attributes
    ----------
    levels : list of Deferred
        Rendered where they are looked at, the finest first.
    provenance : dict
        How.
    """

    levels: list[LazyView]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class PreviewCache:
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
    works : tuple of Work
        For each level, with what was found before it was measured: cameras and background.
    mask, gain : str, optional
        The fingerprints of the mask that it was measured in, and of its gain map.
    """

    source: LayerSnapshot
    stacks: tuple[ImageArray, ...]
    moments: tuple[Moments, ...]
    plans: tuple[Plan, ...]
    mask: str | None = None
    gain: str | None = None
    _merged: dict[str, list[Moments]] = field(default_factory=dict, repr=False)
    _responding: dict[str, list[_Remembering[list[Response]]]] = field(
        default_factory=dict, repr=False
    )

    def render(
        self,
        model: str | PathLike[str] | Method = "noiser",
        *,
        colors: Colors = "balanced",
        statistics: Statistics = "stack",
        **options: Any,
    ) -> RenderedView:
        """Return the image as a model renders it: in milliseconds, since nothing is read.

        Parameters
        ----------
        model, colors, statistics : see `napari_noiser.enhance`
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
        from napari_noiser.engine.live import live_view
        from napari_noiser.engine.plan import check_cameras, make_plan

        layout = self.stacks[0].layout
        check_trained(model, layout, colors)
        options |= {"axes": layout.axes, "ndim": layout.ndim}
        options |= {"colors": colors, "statistics": statistics}
        options["gain"] = None if self.gain is None else np.ones(())  # only to plan with
        # A plan looks at shape and type only: nothing is read for it.
        plans = [
            replace(
                make_plan(_nothing(level, stack), model, **options),
                image=stack,
                **{name: getattr(before, name) for name in _BEFORE},
            )
            for level, stack, before in zip(
                self.source.levels, self.stacks, self.plans, strict=True
            )
        ]
        for plan in plans:
            check_cameras(plan.method, plan.cameras)
        said = {"mask": self.mask, "gain": self.gain}  # which are not looked at again
        described = {**replace(plans[0], gain_map=None).describe(), **said}
        response = str({name: each for name, each in described.items() if name not in _TONE})
        if response not in self._responding:
            self._responding.clear()
            self._responding[response] = self._respond(plans)
        both = zip(plans, self._responding[response], strict=True)
        views = [live_view(plan, respond) for plan, respond in both]
        return RenderedView(views, described)

    def _respond(self, plans: list[Plan]) -> list[_Remembering[list[Response]]]:
        """Return what responds to each level, and holds on to what is in view."""
        from napari_noiser.engine.live import Responses

        groups = self._groups(plans[0].statistics)
        both = zip(plans, groups, strict=True)
        each = [Responses(plan, moments) for plan, moments in both]
        return [_Remembering(partial(_all_of, one)) for one in each]

    def _groups(self, statistics: Statistics) -> list[Moments]:
        if statistics not in self._merged:
            self._merged[statistics] = [
                merge_moments(moments, stack.layout, statistics)
                for moments, stack in zip(self.moments, self.stacks, strict=True)
            ]
        return self._merged[statistics]


def measure(
    source: LayerSnapshot,
    model: str | PathLike[str] | Method = "noiser",
    *,
    ndim: int = 2,
    colors: Colors = "balanced",
    mask: Any = None,
    gain: Any = None,
    camera: Camera = "auto",
    repair: bool = True,
    background: Background = "gray",
    device: str = "auto",
) -> Generator[Event, None, PreviewCache]:
    """Measure a layer's image, for any model of this kind.

    Parameters
    ----------
    source : ImageSource
        Each level of a multiscale layer is measured for itself.
    model : str, path or Method
        Any that sees the same samples and dimensions as those to be shown.
    ndim, colors, mask, gain, camera, repair, background, device
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
    from napari_noiser.engine.calibration import calibrate
    from napari_noiser.engine.passes import check_signal, measure_steps
    from napari_noiser.engine.plan import make_plan
    from napari_noiser.plugin.layers.gain_map import gain_for_level
    from napari_noiser.plugin.tasks.destinations import mask_for_level

    check_trained(model, Layout.of(tuple(source.array.shape), source.axes, ndim), colors)
    options: dict[str, Any] = {"axes": source.axes, "ndim": ndim}
    options |= {"colors": colors, "camera": camera, "repair": repair, "device": device}
    options["background"] = background
    each_alone = "plane" if ndim == 2 else "volume"
    plans = [
        make_plan(
            level,
            model,
            statistics=each_alone,
            mask=mask_for_level(mask, source, level),
            gain=gain_for_level(gain, source, level, ndim),
            **options,
        )
        for level in source.levels
    ]
    plans = [calibrate(plan) for plan in plans]
    found: list[Moments] = []
    for plan in plans:
        moments: Moments = {}
        for event in measure_steps(plan, moments=moments):
            yield event
            if event.done == event.total:
                break  # before it warns of empty planes: others may share their exposure
        plan.device_memory.release()
        check_signal(merge_moments(moments, plan.image.layout, "stack").values())
        found.append(moments)
    stacks = tuple(replace(plan.image, array=_held(plan.image.array)) for plan in plans)
    said = plans[0].describe()
    return PreviewCache(source, stacks, tuple(found), tuple(plans), said["mask"], said["gain"])


def merge_moments(moments: Moments, layout: Layout, statistics: Statistics) -> Moments:
    """Return the moments of each exposure, from those of each image for itself."""
    groups: Moments = {}
    for image, found in moments.items():
        group = layout.group(image, statistics)
        groups[group] = groups[group] + found if group in groups else found
    return groups


def check_trained(model: Any, layout: Layout, colors: Colors) -> None:
    """Raise a `ValueError` if a model is the name of a recipe that has to be trained first."""
    from napari_noiser.methods.noiser.recipe import RECIPES, Recipe, bundled_form

    form = (layout.model_samples(colors), layout.ndim)
    named = isinstance(model, str) and model in RECIPES and not bundled_form(model, *form)
    if named or isinstance(model, Recipe):
        name = model if named else model.name
        raise InputError(name, "has to be trained first for this image: press Train")


def _nothing(level: Any, stack: ImageArray) -> NDArray[Any]:
    """Return an array of a level's shape and type that takes no memory."""
    return np.broadcast_to(np.zeros((), level.dtype), stack.layout.shape)


def _all_of(respond: Responses, box: Slices) -> list[Response]:
    return list(respond(box))


def _held(array: Any) -> _Remembering[NDArray[Any]]:
    """Return an array that holds on to the part last read."""
    return _Remembering(lambda box: np.asarray(array[box]))


class _Remembering(Generic[Value]):
    """A function of a box that holds on to its last value: a slider asks for the same one again.

    It is also called by an index in brackets, as an array.
    """

    def __init__(self, function: Callable[[Slices], Value]) -> None:
        self._function = function
        self._last: tuple[Slices, Value] | None = None

    def __call__(self, box: Slices) -> Value:
        last = self._last  # one look: others may ask on another thread
        if last is None or last[0] != box:
            last = self._last = box, self._function(box)
        return last[1]

    __getitem__ = __call__
