"""A result that is made in the background, and its layer: shown at the end, or as it fills in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from weakref import WeakSet

from napari import Viewer
from napari.layers import Image
from napari.utils.notifications import show_info

from napari_noiser._progress import Event, PartDone
from napari_noiser.engine.options import PROGRESS_TITLES, Verb
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.destinations import TaskResult, TileWritten
from napari_noiser.plugin.tasks.generators import enhance_all

_REFRESH = 1.0  # seconds between two looks at a result that fills in
_PARTIAL = ".partial"  # the ending of an unfinished result's folder


def start_enhancing(
    viewer: Viewer,
    sources: Sequence[LayerSnapshot],
    settings: Settings,
    on_enhanced: Callable[[TaskResult], object] = lambda result: None,
    on_event: Callable[[Event], object] = lambda event: None,
    on_end: Callable[[str], object] = lambda outcome: None,
) -> BackgroundTask:
    """Start a verb in the background, and add each result to a viewer once it is finished.

    Those that are finished stay if the task is canceled. At the end all results are selected,
    unless somebody has selected something else. `on_enhanced` gets each result, once its layer is
    in the viewer; `on_event` and `on_end` are as in `BackgroundTask`. The viewer's status line
    says how far it is, for those who have no widget open.
    """
    if settings.keep == "disk":
        settings.check_folder()
    settings = settings.snapshot_layers()
    settings.check_gain_map(sources)
    waiting = deque(_ResultLayer(viewer, source, settings.verb) for source in sources)
    finished: WeakSet[Image] = WeakSet()  # somebody may have removed one to get its memory back

    def show_event(event: Event) -> None:
        if isinstance(event, PartDone):
            finish(event.result)
        else:
            waiting[0].fill_in(event)
            on_event(event)
            viewer.status = f"{task.title}: {task.progress}"

    def finish(result: TaskResult) -> None:
        finished.add(waiting.popleft().finish(result))
        on_enhanced(result)

    def end(outcome: str) -> None:
        if waiting:
            waiting[0].end(outcome)
        if viewer.layers.selection.active in finished:  # unless somebody has gone elsewhere
            viewer.layers.selection = {each for each in finished if each in viewer.layers}
        viewer.status = f"{task.title}: {outcome}"
        on_end(outcome)

    what = sources[0].name if len(sources) == 1 else f"{len(sources)} images"
    title = f"{PROGRESS_TITLES[settings.verb].capitalize()} {what}"
    task = BackgroundTask(title, lambda: enhance_all(sources, settings), finish, show_event, end)
    viewer.status = f"{task.title}: {task.progress}"
    return task


class _ResultLayer:
    """The layer of a result, finished or not."""

    def __init__(self, viewer: Viewer, source: LayerSnapshot, verb: Verb) -> None:
        self._viewer, self._source, self._verb = viewer, source, verb
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
            self._layer = self._source.unfinished(event.data, f"{name} [unfinished]", self._verb)
            self._viewer.add_layer(self._layer)
            self._name, self._limits = self._layer.name, self._layer.contrast_limits
        elif self._is_there:
            self._layer.refresh(extent=False)
        self._looked = monotonic()

    def finish(self, result: TaskResult) -> Image:
        """Show the result, in the layer that showed it unfinished, unless that was removed."""
        layer = result.layer(self._source)
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
