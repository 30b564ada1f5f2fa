"""An enhancement in the background, and its layer: there at the end, or while it fills in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari import Viewer
from napari.layers import Image
from napari.utils.notifications import show_info

from napari_noiser._errors import InputError
from napari_noiser._progress import Event, PartDone
from napari_noiser.plugin.layers.gain_map import check_gain
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.destinations import TaskResult, TileWritten
from napari_noiser.plugin.tasks.generators import enhance_all

if TYPE_CHECKING:
    from napari_noiser.arrays.image_array import Output

__all__ = ["start_enhancing"]

_REFRESH = 1.0  # seconds between two looks at a result that fills in
_PARTIAL = ".partial"  # what the folder of an unfinished result is called besides


def start_enhancing(
    viewer: Viewer,
    sources: Sequence[LayerSnapshot],
    settings: Settings,
    on_enhanced: Callable[[TaskResult], object] = lambda enhanced: None,
    on_event: Callable[[Event], object] = lambda event: None,
    on_end: Callable[[str], object] = lambda outcome: None,
) -> BackgroundTask:
    """Start enhancing in the background, and add each result to a viewer once it is finished.

    At the end all results are selected, unless somebody has selected something else.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the results.
    sources : sequence of ImageSource
        What to enhance, one after the other.
    settings : Settings
        How.
    on_enhanced : callable
        Gets each result, once its layer is in the viewer.
    on_event, on_end : callable
        As in `BackgroundTask`.

    Returns
    -------
    Run
        To be canceled: results that are finished stay.

    Raises
    ------
    Busy
        If other work runs.
    ValueError
        If the result is to be kept on disk, but no folder was chosen; or if the model takes a gain
        map, but there is none that fits.
    """
    if settings.keep == "disk" and not settings.results_folder:
        raise InputError(
            "",
            "Choose a folder for results on disk, in the widget or in Preferences > napari-noiser",
        )
    settings = settings.snapshot_layers()
    check_gain(settings, sources)
    waiting = deque(_Result(viewer, source, settings.output) for source in sources)
    provenance: WeakSet[Image] = WeakSet()  # somebody may have removed one to get its memory back

    def event(event: Event) -> None:
        if isinstance(event, PartDone):
            result(event.result)
        else:
            waiting[0].fill_in(event)
            on_event(event)

    def result(enhanced: TaskResult) -> None:
        provenance.add(waiting.popleft().finish(enhanced))
        on_enhanced(enhanced)

    def end(outcome: str) -> None:
        if waiting:
            waiting[0].end(outcome)
        _select_all(viewer, provenance)
        on_end(outcome)

    what = sources[0].name if len(sources) == 1 else f"{len(sources)} images"
    return BackgroundTask(
        f"Enhancing {what}", lambda: enhance_all(sources, settings), result, event, end
    )


def _select_all(viewer: Viewer, provenance: Collection[Image]) -> None:
    """Select all results where napari has selected one, unless somebody has gone elsewhere."""
    if viewer.layers.selection.active in provenance:
        viewer.layers.selection = {each for each in provenance if each in viewer.layers}


class _Result:
    """The layer of a result."""

    def __init__(self, viewer: Viewer, source: LayerSnapshot, output: Output) -> None:
        self._viewer, self._source, self._output = viewer, source, output
        self._layer: Image | None = None  # which shows what there is, while there is more to come
        self._filling: TileWritten | None = None
        self._name, self._limits = "", [0.0, 1.0]  # as it was added
        self._looked = 0.0

    def fill_in(self, event: Event) -> None:
        """Show what is finished of a result on disk, from when its rendering begins."""
        if not isinstance(event, TileWritten):
            return
        self._filling = event
        if not event.stage.endswith("render") or monotonic() < self._looked + _REFRESH:
            return
        if self._layer is None:
            name = event.folder.name.removesuffix(f".ome.zarr{_PARTIAL}")
            name = f"{name} [unfinished]"
            self._layer = self._source.unfinished(event.data, name, self._output)
            self._viewer.add_layer(self._layer)
            self._name, self._limits = self._layer.name, self._layer.contrast_limits
        elif self._is_there:
            self._layer.refresh(extent=False)
        self._looked = monotonic()

    def finish(self, enhanced: TaskResult) -> Image:
        """Show the result, in the layer that showed it unfinished, unless that was removed."""
        layer = self._source.result(enhanced.data, enhanced.provenance, enhanced.limits)
        shown = self._layer if self._is_there else layer
        if shown is layer:
            self._viewer.add_layer(layer)
        else:
            self._complete(shown, layer)
        self._layer = self._filling = None
        return shown

    def _complete(self, shown: Image, layer: Image) -> None:
        """Fill in what was unfinished; a name and limits that were chosen meanwhile stay."""
        as_added = shown.contrast_limits == self._limits
        shown.data, shown.metadata = layer.data, {**shown.metadata, **layer.metadata}
        if as_added:
            shown.contrast_limits = layer.contrast_limits
        if shown.name == self._name:
            shown.name = layer.name

    def end(self, outcome: str) -> None:
        """Take a layer away that will never be finished, and say how to go on with it."""
        if self._is_there:
            self._viewer.layers.remove(self._layer)
        if self._filling is not None:
            self._tell(outcome, self._filling.folder)
        self._layer = self._filling = None

    def _tell(self, outcome: str, begun: Path) -> None:
        name, finished = self._source.name, begun.with_name(begun.name.removesuffix(_PARTIAL))
        if begun.exists():
            show_info(
                f"{outcome}: what there is of {name} is kept in {begun}. Choose {name} and Apply "
                "again with the same settings to go on with it, or delete that folder."
            )
        elif finished.exists():
            show_info(f"{outcome}, but {name} had been finished: the result is {finished}")

    @property
    def _is_there(self) -> bool:
        return self._layer is not None and self._layer in self._viewer.layers
