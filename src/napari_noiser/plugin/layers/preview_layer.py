"""A layer whose contents are exchanged while it is looked at, and which is marked as a preview."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from napari.components import LayerList
from napari.layers import Image, Layer
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_noiser._progress import Event
from napari_noiser.arrays.layout import Colors, Slices, Statistics
from napari_noiser.arrays.reader import read_region
from napari_noiser.engine.options import Verb
from napari_noiser.files.provenance import PROVENANCE
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.background_task import limit_threads
from napari_noiser.plugin.tasks.preview_cache import PreviewCache, RenderedView, measure

if TYPE_CHECKING:
    from napari_noiser.arrays.lazy_view import LazyView
    from napari_noiser.engine.display import ViewRange
    from napari_noiser.methods.base import Method

_LINE = 400  # parts of the width, of which the divider takes one
_MARK = "preview"
_CLOSED_FORM = "closed form"  # as its method describes itself


@dataclass(frozen=True)
class PreviewState:
    """What a `PreviewLayer` takes, its first view with contrast limits for it.

    All of it can be made off the GUI thread.
    """

    measured: PreviewCache
    view: RenderedView
    shown: ViewRange


def _first_preview(
    source: LayerSnapshot, model: str | PathLike[str] | Method, verb: Verb, **options: Any
) -> Generator[Event, None, PreviewState]:
    """Measure a layer's image, and find where black and white should lie in the first view."""
    from napari_noiser.engine.display import view_range

    measured = yield from measure(source, model, verb, **options)
    view = measured.render(model, **options)
    shown = view_range(view.plan, view.levels[0], source.array)
    return PreviewState(measured, view, shown)


def preview_state(
    source: LayerSnapshot, settings: Settings
) -> Generator[Event, None, PreviewState]:
    """Measure a layer's image as settings ask for it, whose layers are snapshots."""
    layout = source.layout(settings.resolved["ndim"])
    options = {**settings.options, **settings.companions(source, layout), "dtype": None}
    model: Any = settings.model
    return (yield from _first_preview(source, model, settings.verb, **options))


def closed_form_state(
    source: LayerSnapshot, colors: Colors, statistics: Statistics
) -> Generator[Event, None, PreviewState]:
    """Measure a layer's image for the closed form, the honest baseline without any network."""
    method = closed_form_method(source, colors)
    options: dict[str, Any] = {"colors": colors, "statistics": statistics, "device": "cpu"}
    return (yield from _first_preview(source, method, "enhance", **options))


def closed_form_method(source: LayerSnapshot, colors: Colors) -> Method:
    """Return the closed form for a layer's image."""
    from napari_noiser.analysis.baseline import BoxMean

    return BoxMean(source.layout().model_samples(colors))


class PreviewLayer:
    """A layer where its source is, rendered where it is looked at; to be made on the GUI thread.

    The contrast limits stay as they are at first, so that one sees what a slider does. The title
    goes into the layer's name, in brackets. Left of a divider it shows the source as that is
    shown: `divider` is a fraction of the length along X.
    """

    def __init__(self, state: PreviewState, title: str) -> None:
        self.measured = state.measured
        # Not new data for each view: of a multiscale layer, napari would fall back to the
        # coarsest level and find the right one again, which flickers.
        self._levels = list(state.view.levels)
        self._source = SourceDisplay(state.measured.source)
        data = [
            replace(level, read=_LevelReader(self._levels, at, self._source))
            for at, level in enumerate(self._levels)
        ]
        self._before: WeakSet[Layer] = WeakSet()  # what was selected before the layer came
        self.layer: Image = state.measured.source.unfinished(
            data if len(data) > 1 else data[0], f"{state.measured.source.name} [{title}]"
        )
        self.layer.contrast_limits, self.layer.gamma = state.shown.limits, state.shown.gamma
        self._describe(state.view)
        for event in (self.layer.events.contrast_limits, self.layer.events.gamma):
            event.connect(self._on_shown_otherwise)
        self._on_shown_otherwise()

    @property
    def divider(self) -> float:
        """Where the source ends and the preview begins, from 0 to 1 along X."""
        return self._source.divider

    @divider.setter
    def divider(self, at: float) -> None:
        self._source.divider = min(max(at, 0.0), 1.0)
        self.layer.refresh(extent=False)

    def _on_shown_otherwise(self) -> None:
        """Show the source as before, whatever the preview's contrast limits are now."""
        low, high = self.layer.contrast_limits
        self._source.limits, self._source.gamma = (low, high), self.layer.gamma
        if self._source.divider:
            self.layer.refresh(extent=False)

    def add_to(self, layers: LayerList) -> None:
        """Add the layer to a list, in which the same ones stay selected."""
        self._before = WeakSet(layers.selection)
        layers.append(self.layer)
        _select(layers, self._before)

    def remove_from(self, layers: LayerList) -> None:
        """Take the layer away, if nobody has, and select what was selected before."""
        there = self.layer in layers
        alone = set(layers.selection) == ({self.layer} if there else set())
        if there:
            layers.remove(self.layer)
        if alone:
            _select(layers, self._before)
        if alone and not there:  # of one that is deleted, napari goes on to select the neighbor
            QTimer.singleShot(0, partial(_select_no_more, layers, self._before))

    def update(self, model: str | PathLike[str] | Method, **options: Any) -> None:
        """Show the image rendered otherwise; see `PreviewCache.render`."""
        view = self.measured.render(model, **options)
        self._levels[:] = view.levels
        self._describe(view)
        self.layer.refresh(extent=False)

    def _describe(self, view: RenderedView) -> None:
        source = self.measured.source
        provenance = {_MARK: True, **view.provenance, "source": source.name}
        self.layer.metadata = {**source.metadata, PROVENANCE: provenance}


def is_preview(layer: Layer) -> bool:
    """Return whether a layer is there to be looked at only, and no result."""
    return bool(_provenance(layer).get(_MARK))


def source_name(layer: Layer) -> str | None:
    """Return the name of what a layer was made of, if it says so."""
    return _provenance(layer).get("source")


def enhanced_layer(layers: Iterable[Layer], source: str) -> Image | None:
    """Return the preview of a layer of this name, or else its newest result.

    A duplicate of its preview (which has a parent) does not follow what is chosen.
    """
    enhanced = [each for each in layers if _provenance(each).get("recipe") != _CLOSED_FORM]
    previews = [
        each
        for each in enhanced
        if is_preview(each) and source_name(each) == source and each.source.parent is None
    ]
    return previews[-1] if previews else newest_result(enhanced, source)


def newest_result(layers: Iterable[Layer], source: str) -> Image | None:
    """Return the last one of some layers that is a result of the layer of this name."""
    results = [layer for layer in layers if source_name(layer) == source and not is_preview(layer)]
    return results[-1] if results else None


def _provenance(layer: Layer) -> dict[str, Any]:
    found = layer.metadata.get(PROVENANCE)
    return found if isinstance(found, dict) else {}


def _select(layers: LayerList, wanted: Collection[Layer]) -> None:
    """Select those of some layers that there are; arrow keys go on from the topmost."""
    there = [each for each in layers if each in wanted]
    layers.selection.active = there[-1] if there else None
    layers.selection.update(there)


def _select_no_more(layers: LayerList, wanted: Collection[Layer]) -> None:
    """Select some layers only, if they are selected together with others."""
    if {each for each in wanted if each in layers} < set(layers.selection):
        _select(layers, wanted)


class SourceDisplay:
    """A source as it is shown, in the values of a layer with other contrast limits and gamma."""

    def __init__(self, source: LayerSnapshot) -> None:
        self._source = source
        self._along = source.axes.index("X")
        self.divider = 0.0
        self.limits, self.gamma = (0.0, 1.0), 1.0

    def paint(self, values: NDArray[Any], box: Slices, at: int) -> NDArray[Any]:
        """Return the values of a level's box, left of the divider the source's, and the line."""
        array, along = self._source.levels[at], self._along
        width, first = array.shape[along], box[along].start
        cut = round(self.divider * width)
        if not first < cut:
            return values
        part = list(box)
        part[along] = slice(first, min(cut, box[along].stop))
        left = (slice(None),) * along + (slice(0, part[along].stop - first),)
        values = values.copy()
        values[left] = self._convert(read_region(array, tuple(part)))
        line = max(1, width // _LINE)
        edge = slice(max(0, cut - line - first), max(0, cut - first))
        values[(slice(None),) * along + (edge,)] = self.limits[1]
        return values

    def _convert(self, raw: NDArray[Any]) -> NDArray[np.float32]:
        low, high = self._source.limits
        black, white = self.limits
        tones = ((raw.astype(np.float32) - low) / ((high - low) or 1.0)).clip(0, 1)
        if self.gamma != self._source.gamma:
            tones **= self._source.gamma / self.gamma
        return np.asarray(black + (white - black) * tones, np.float32)


class _LevelReader:
    """Renders what a level shows now; a copy, as of a duplicated layer, what it showed then.

    One core is left to napari, whichever thread asks.
    """

    def __init__(self, levels: list[LazyView], at: int, source: SourceDisplay) -> None:
        self._levels, self._at, self._source = levels, at, source

    def __call__(self, box: Slices) -> NDArray[Any]:
        with limit_threads():
            return self._source.paint(self._levels[self._at].read(box), box, self._at)

    def __deepcopy__(self, memo: object) -> _LevelReader:
        return _LevelReader([*self._levels], self._at, copy(self._source))
