"""A measured image: any model, slider or statistics group is shown without reading it again.

torch is imported inside the functions, off the GUI thread: it takes seconds, and Qt must not wait.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser._progress import Event
from napari_noiser.arrays.layout import Colors, Layout, Slices, Statistics
from napari_noiser.arrays.lazy_view import DerivedArray
from napari_noiser.arrays.reader import read_region
from napari_noiser.engine.options import DEFAULT_MODEL, ResolvedOptions, Verb, verb_options
from napari_noiser.methods.noiser.recipe import RECIPES, Recipe, bundled_form
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.tasks.destinations import TaskRequest

if TYPE_CHECKING:
    from napari_noiser.arrays.lazy_view import LazyView
    from napari_noiser.engine.live import Responses
    from napari_noiser.engine.passes import Moments
    from napari_noiser.engine.plan import Plan
    from napari_noiser.engine.render import Response
    from napari_noiser.methods.base import Method

MEASURED = ("ndim", "camera", "repair", "banding", "fill", "background")
"""The options that a measurement is made for; of the others any value can be rendered from it."""

_FOUND = ("mask", "gain_map", "banding_removed")  # of provenance, by measuring
_TONE = ("brightness", "contrast", "dtype")  # what a response does not depend on

Value = TypeVar("Value")


@dataclass(frozen=True)
class RenderedView:
    """One way to show a measured image: levels rendered where one looks, the finest first."""

    levels: list[LazyView]
    plan: Plan
    provenance: dict[str, Any]


@dataclass(frozen=True)
class PreviewCache:
    """An image whose patches were measured, each plane (or volume) for itself.

    Moments merge exactly, so one measurement serves every statistics group, and every model that
    sees the same samples and dimensions. There are a plan and the moments of each plane (or
    volume) for each level; the plans' images remember the part last looked at. The provenance is
    that of the measurement.
    """

    source: LayerSnapshot
    plans: tuple[Plan, ...]
    moments: tuple[Moments, ...]
    provenance: Mapping[str, Any]
    _merged: dict[str, list[Moments]] = field(default_factory=dict, repr=False)
    _responses: dict[str, list[_Remembering[list[Response]]]] = field(
        default_factory=dict, repr=False
    )

    def render(self, model: str | PathLike[str] | Method = "auto", **options: Any) -> RenderedView:
        """Return the image as a model renders it: in milliseconds, since nothing is read.

        The model sees the samples and dimensions that were measured. The options are those of the
        verb but `out` and `progress`; those in `MEASURED` are as they were measured for, and so
        are axes, mask and gain map.
        """
        from napari_noiser.engine.live import live_view
        from napari_noiser.engine.plan import check_cameras

        plans = [self._plan(measured, model, options) for measured in self.plans]
        for plan in plans:
            check_cameras(plan.method, plan.cameras)
        # A fingerprint reads all of a mask or a gain map: once is enough.
        known = {name: self.provenance[name] for name in _FOUND if name in self.provenance}
        provenance = {**replace(plans[0], mask=None, gain_map=None).describe(), **known}
        key = str({name: each for name, each in provenance.items() if name not in _TONE})
        if key not in self._responses:
            self._responses.clear()
            self._responses[key] = self._respond(plans)
        both = zip(plans, self._responses[key], strict=True)
        levels = [live_view(plan, respond) for plan, respond in both]
        return RenderedView(levels, plans[0], provenance)

    def _plan(self, measured: Plan, model: Any, options: dict[str, Any]) -> Plan:
        """Return the plan of a level: what is asked for, with what was found by measuring."""
        from napari_noiser.engine.plan import make_plan

        image, verb = measured.image, measured.verb
        asked: Mapping[str, Any] = measured.options
        fixed = {name: asked[name] for name in MEASURED if name in verb_options(verb)}
        # The image is without its banding. Of maps planning only looks whether there is one.
        beside = {"mask": None, "gain_map": None if measured.gain_map is None else 1.0}
        check_trained(model, image.layout, options.get("colors", "balanced"), verb)
        plan = make_plan(image, model, verb, **{**options, **fixed, **beside, "banding": "keep"})
        restored: ResolvedOptions = {**plan.options}
        restored["banding"] = asked["banding"]
        return replace(
            plan,
            options=restored,
            image=image,
            mask=measured.mask,
            gain_map=measured.gain_map,
            cameras=measured.cameras,
            background_levels=measured.background_levels,
            repair_margin=measured.repair_margin,
            choice=measured.choice,
            fills=measured.fills,
            bounds=measured.bounds,
        )

    def _respond(self, plans: list[Plan]) -> list[_Remembering[list[Response]]]:
        """Return what responds to a box of each level, and remembers the one in view."""
        from napari_noiser.engine.live import Responses

        statistics = plans[0].options["statistics"]
        if statistics not in self._merged:
            self._merged[statistics] = [
                merge_moments(moments, plan.image.layout, statistics)
                for moments, plan in zip(self.moments, self.plans, strict=True)
            ]
        both = zip(plans, self._merged[statistics], strict=True)
        return [_Remembering(partial(_all_of, Responses(*each))) for each in both]


def measure(
    source: LayerSnapshot,
    model: str | PathLike[str] | Method = "auto",
    verb: Verb = "enhance",
    **options: Any,
) -> Generator[Event, None, PreviewCache]:
    """Measure a layer's image, each of its levels for itself, for any model of this kind.

    This one has to see the same samples and dimensions as those to be shown. The options are those
    of the verb; mask and gain map are of the finest level.
    """
    from napari_noiser.engine.passes import check_signal, measure_steps

    images = source.images(options.get("ndim", 2))
    layout = images[0].layout
    check_trained(model, layout, options.get("colors", "balanced"), verb)
    each_alone = {"statistics": "plane" if layout.ndim == 2 else "volume"}
    request = TaskRequest(source, images, model, verb, {**options, **each_alone})
    plans = yield from request.calibrated_plans()
    measured: list[Moments] = []
    for plan in plans:
        moments: Moments = {}
        for event in measure_steps(plan, moments=moments):
            yield event
            if event.done == event.total:
                break  # before it warns of empty planes: others may share their statistics
        plan.device_memory.release()
        check_signal(merge_moments(moments, plan.image.layout, "stack").values())
        measured.append(moments)
    provenance = plans[0].describe()
    remembering = tuple(
        replace(plan, image=replace(plan.image, array=_remember(plan.image.array)))
        for plan in plans
    )
    return PreviewCache(source, remembering, tuple(measured), provenance)


def merge_moments(moments: Moments, layout: Layout, statistics: Statistics) -> Moments:
    """Return the moments of each statistics group, from those of each image for itself."""
    groups: Moments = {}
    for image, each in moments.items():
        group = layout.group(image, statistics)
        groups[group] = groups[group] + each if group in groups else each
    return groups


def check_trained(model: Any, layout: Layout, colors: Colors, verb: Verb = "enhance") -> None:
    """Raise an `InputError` if a model is a recipe, or the name of one, that is to be trained."""
    name = DEFAULT_MODEL if isinstance(model, str) and model == "auto" else model
    form = (layout.model_samples(colors), layout.ndim)
    named = isinstance(name, str) and name in RECIPES and not bundled_form(name, *form)
    if named or isinstance(model, Recipe):
        name = name if named else model.name
        raise InputError("", f"{name} has to be trained first for this image: press Train")


def _all_of(respond: Responses, box: Slices) -> list[Response]:
    return list(respond(box))


def _remember(array: Any) -> _Remembering[NDArray[Any]]:
    """Return an array that remembers the part last read."""
    return _Remembering(partial(read_region, array), array)


class _Remembering(DerivedArray, Generic[Value]):
    """A function of a box that remembers its last value: a slider asks for the same one again.

    It can also be indexed, as an array is, read from a `source`.
    """

    def __init__(self, function: Callable[[Slices], Value], source: Any = None) -> None:
        self._function, self.source = function, source
        self._last: tuple[Slices, Value] | None = None

    def __call__(self, box: Slices) -> Value:
        last = self._last  # one look: others may ask on another thread
        if last is None or last[0] != box:
            last = self._last = box, self._function(box)
        return last[1]

    __getitem__ = __call__
