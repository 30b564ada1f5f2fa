"""The section that compares source, enhanced and closed form, alone or side by side."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from weakref import WeakKeyDictionary

from magicgui.widgets import RadioButtons
from napari import Viewer
from napari.components import ViewerModel
from napari.layers import Layer

from napari_noiser._progress import Event, describe_event
from napari_noiser.plugin.layers.preview_layer import (
    PreviewLayer,
    PreviewState,
    closed_form_method,
    closed_form_state,
    enhanced_layer,
)
from napari_noiser.plugin.tasks.background_task import BackgroundTask, TaskRunning
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.errors import describe_error
from napari_noiser.plugin.widgets.qt_helpers import Note
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

_ALL, _SOURCE, _ENHANCED, _CLOSED = "all layers", "source", "enhanced", "closed form"
_WANTED = {
    **{each: (each,) for each in (_SOURCE, _ENHANCED, _CLOSED)},
    "side by side": (_SOURCE, _ENHANCED, _CLOSED),
}
_NOTHING_YET = "Nothing is enhanced yet: switch the preview on, or press Apply."
_GRID = ("stride", "shape", "spacing", "enabled")
_CAMERA = ("center", "zoom", "angles")
_GAP = 4  # pixels between two images


class CompareSection(Section):
    """A choice between the chosen image, its result and the closed form."""

    title = "Compare"

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__(viewer, controls)
        self.choice = RadioButtons(
            choices=(_ALL, *_WANTED),
            tooltip="Source: the image chosen above. Enhanced: its preview, or its newest result. "
            "Closed form: brightened without any network (3x3 mean, standardized, tanh), the "
            "honest baseline. Side by side, all are in view; with “all layers” everything "
            "comes back as it was.",
        )
        self.choice.value = _ALL
        self.choice.native.setStyleSheet("QGroupBox { margin-top: 0; }")  # no title needs room
        self.note = Note()
        self.extend([self.choice, self.note])
        self._task: BackgroundTask | None = None
        self._stopped = False  # whether the task was canceled here
        self._comparison: CompareGrid | None = None
        self._closed: PreviewLayer | None = None
        self._connect()

    def _connect(self) -> None:
        self.choice.changed.connect(self._update)
        self.controls.image.changed.connect(self._on_image)
        for control in (self.controls.options["colors"], self.controls.options["statistics"]):
            control.changed.connect(self._on_option)
        # Last: the layer has to be on the canvas before it is reordered.
        self.viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        self.viewer.layers.events.removed.connect(self._on_removed)

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Show the new result, if the enhanced image is compared."""
        self._raise_closed()  # its preview is gone
        self._update()

    def on_leave(self) -> None:
        """Show all layers as before, and choose so."""
        self.choice.value = _ALL

    def on_close(self) -> None:
        """Show all layers as before, without the controls, which are gone."""
        super().on_close()
        self._end()

    # the comparison

    def _update(self) -> None:
        wanted = _WANTED.get(self.choice.value, ())
        self.note.say("")
        if not wanted:
            self._end()
            return
        layers, missing = self._layers(), []
        if _ENHANCED in wanted and layers[_ENHANCED] is None:
            missing.append(_NOTHING_YET)
        if _CLOSED in wanted and layers[_CLOSED] is None:
            missing += self._measure()
        found = [layers[each] for each in wanted if layers[each] is not None]
        if found:
            self._comparison = self._comparison or CompareGrid(self.viewer)
            self._comparison.show(found)
        shown = [layer.name for layer in self.viewer.layers if layer.visible]
        names = [" | ".join(shown)] if len(found) > 1 else []
        self.note.say("\n".join([*names, *missing]))

    def _layers(self) -> dict[str, Any]:
        source = self.controls.image.value
        return {
            _SOURCE: source,
            _ENHANCED: source and enhanced_layer(self.viewer.layers, source.name),
            _CLOSED: self._closed and self._closed.layer,
        }

    def _end(self) -> None:
        """Show all layers as before, and drop the closed form."""
        comparison, self._comparison = self._comparison, None
        closed, self._closed = self._closed, None
        if self._task is not None:
            self._stopped = True
            self._task.cancel()
        if closed is not None:
            closed.remove_from(self.viewer.layers)
        if comparison is not None:
            comparison.end()

    # the closed form, measured when it is first chosen

    def _measure(self) -> list[str]:
        """Start measuring for the closed form; return why that cannot be."""
        if self._task is not None:
            return []
        try:
            source, options = self.controls.source, self._options()
            self._task = BackgroundTask(
                f"Measuring {source.name}",
                lambda: closed_form_state(source, **options),
                self._show_closed,
                self._on_event,
                self._on_end,
            )
        except (TaskRunning, ValueError) as error:
            return [describe_error(error)]
        return []

    def _on_event(self, event: Event) -> None:
        if self._open:
            self.note.say(describe_event(event))

    def _show_closed(self, look: PreviewState) -> None:
        if self._open and self.choice.value in _WANTED:
            self._closed = PreviewLayer(look, "closed form")
            self._closed.add_to(self.viewer.layers)
            self._on_option()  # another may have been chosen meanwhile
            self._update()

    def _on_end(self, outcome: str) -> None:
        stopped, self._task, self._stopped = self._stopped, None, False
        if self._open and stopped:
            self._update()  # it may have been chosen again
        elif self._open and outcome != "finished":
            self.note.say(outcome)

    # what changes around

    def _on_option(self) -> None:
        if self._closed is not None:
            options = self._options()
            method = closed_form_method(self._closed.measured.source, options["colors"])
            self._closed.update(method, device="cpu", **options)

    def _options(self) -> dict[str, Any]:
        """Return the options that the closed form has in common with the result."""
        return {name: self.controls.options[name].value for name in ("colors", "statistics")}

    def _on_image(self) -> None:
        if self._open:
            self.choice.value = _ALL

    def _on_inserted(self) -> None:
        if self._comparison is not None:
            self._raise_closed()
            self._update()

    def _raise_closed(self) -> None:
        """Move the closed form above the enhanced layer: to its right, side by side."""
        layers, found = self.viewer.layers, self._layers()
        if found[_CLOSED] is None or found[_ENHANCED] is None:
            return
        closed, enhanced = (layers.index(found[each]) for each in (_CLOSED, _ENHANCED))
        if closed < enhanced:
            layers.move(closed, enhanced + 1)

    def _on_removed(self, event: Any) -> None:
        if self._closed is not None and event.value is self._closed.layer:
            self.choice.value = _ALL
        elif self._comparison is not None:
            self._update()


class CompareGrid:
    """Shows a few layers of a viewer, alone or in a grid, until the comparison ends.

    A grid's camera is fitted to all of it. Whatever is shown alone afterwards is seen as before;
    at the end the layers' visibility and the viewer's grid are restored as well.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._visible: WeakKeyDictionary[Layer, bool] = WeakKeyDictionary()
        self._grid = _read(viewer.canvas.grid, _GRID)
        self._camera: dict[str, Any] = {}  # before layers were shown side by side

    def show(self, layers: Collection[Layer]) -> None:
        """Show these layers only: several side by side, all to be seen."""
        for layer in self._viewer.layers:
            self._visible.setdefault(layer, layer.visible)
            layer.visible = layer in layers
        if len(layers) == 1:
            self._restore_view()
            return
        grid = self._viewer.canvas.grid
        before = _read(grid, _GRID)
        self._camera = self._camera or _read(self._viewer.scene.camera, _CAMERA)
        row = {"stride": 1, "shape": (1, len(layers)), "spacing": _GAP, "enabled": True}
        _write(grid, row)
        if before != row:  # otherwise somebody may have zoomed in
            self._viewer.fit_to_view(layers=[*layers])

    def end(self) -> None:
        """Show the layers that were visible before, and those that have been added since."""
        for layer, visible in self._visible.items():
            layer.visible = visible
        self._restore_view()

    def _restore_view(self) -> None:
        camera = self._camera or _read(self._viewer.scene.camera, _CAMERA)
        self._camera = {}
        _write(self._viewer.canvas.grid, self._grid)  # napari fits the view where this changes
        _write(self._viewer.scene.camera, camera)


def _read(model: Any, names: Collection[str]) -> dict[str, Any]:
    return {name: getattr(model, name) for name in names}


def _write(model: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(model, name, value)
