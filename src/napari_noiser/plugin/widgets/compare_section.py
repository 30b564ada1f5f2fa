"""The section that compares: source, enhanced and closed form, alone or side by side."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import RadioButtons
from napari import Viewer

from napari_noiser._progress import Event
from napari_noiser.plugin.layers.preview_layer import (
    PreviewLayer,
    PreviewState,
    closed_form_method,
    closed_form_state,
    enhanced_layer,
)
from napari_noiser.plugin.tasks.background_task import BackgroundTask, TaskRunning
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.widgets.compare_grid import CompareGrid
from napari_noiser.plugin.widgets.qt_helpers import Note
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

__all__ = ["CompareSection"]

_ALL, _SOURCE, _ENHANCED, _CLOSED, _BESIDE = (
    "all layers",
    "source",
    "enhanced",
    "closed form",
    "side by side",
)
_WANTED = {
    _SOURCE: (_SOURCE,),
    _ENHANCED: (_ENHANCED,),
    _CLOSED: (_CLOSED,),
    _BESIDE: (_SOURCE, _ENHANCED, _CLOSED),
}
_NOTHING_YET = "Nothing is enhanced yet: switch the preview on, or press Apply."


class CompareSection(Section):
    """One switch between the chosen image, what became of it, and the closed form."""

    title = "Compare"

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__(viewer, controls)
        self.choice = RadioButtons(
            choices=(_ALL, *_WANTED),
            value=_ALL,
            tooltip="Source: the image chosen above. Enhanced: its preview, or its newest result. "
            "Closed form: brightened without any network (3x3 mean, standardized, tanh), the "
            "honest baseline. Zoom and place stay the same, and with “all layers” "
            "everything comes back as it was.",
        )
        self.choice.native.setStyleSheet("QGroupBox { margin-top: 0; }")  # no title needs room
        self.note = Note()
        self.extend([self.choice, self.note])
        self._open = True
        self._run: BackgroundTask | None = None
        self._stopped = False  # whether nobody waits for it any more
        self._comparison: CompareGrid | None = None
        self._closed: PreviewLayer | None = None
        self._connect()

    def _connect(self) -> None:
        self.choice.changed.connect(self._update)
        self.controls.image.changed.connect(self._on_image)
        for control in (self.controls.colors, self.controls.statistics):
            control.changed.connect(self._on_exposure)
        # Last: the layer has to be on the canvas before it is reordered.
        self.viewer.layers.events.inserted.connect(self._on_inserted, position="last")
        self.viewer.layers.events.removed.connect(self._on_removed)

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Look at the new result, if what is enhanced is looked at."""
        self._raise_closed()  # its preview is gone
        self._update()

    def on_leave(self) -> None:
        """Put everything back; the choice says so if the widget comes back."""
        self.choice.value = _ALL

    def on_close(self) -> None:
        """Put everything back, without the controls, which are gone."""
        self._open = False
        self._end()

    # what is shown

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
        beside = [" | ".join(shown)] if len(found) > 1 else []
        self.note.say("\n".join([*beside, *missing]))

    def _layers(self) -> dict[str, Any]:
        source = self.controls.image.value
        return {
            _SOURCE: source,
            _ENHANCED: source and enhanced_layer(self.viewer.layers, source.name),
            _CLOSED: self._closed and self._closed.layer,
        }

    def _end(self) -> None:
        """Show all as it was, and forget the closed form."""
        comparison, self._comparison = self._comparison, None
        closed, self._closed = self._closed, None
        if self._run is not None:
            self._stopped = True
            self._run.cancel()
        if closed is not None:
            closed.remove_from(self.viewer.layers)
        if comparison is not None:
            comparison.end()

    # the closed form, made when it is first wanted

    def _measure(self) -> list[str]:
        """Begin with the closed form, and return why not."""
        if self._run is not None:
            return []
        try:
            source, group = self.controls.source, self._group()
            self._run = BackgroundTask(
                f"Measuring {source.name}",
                lambda: closed_form_state(source, **group),
                self._show_closed,
                self._on_event,
                self._on_end,
            )
        except (TaskRunning, ValueError) as error:
            return [str(error)]
        return []

    def _on_event(self, event: Event) -> None:
        if self._open:
            self.note.say(f"measuring {event.done} of {event.total}")

    def _show_closed(self, look: PreviewState) -> None:
        if self._open and self.choice.value in _WANTED:
            self._closed = PreviewLayer(look, "closed form")
            self._closed.add_to(self.viewer.layers)
            self._on_exposure()  # another may have been chosen meanwhile
            self._update()

    def _on_end(self, outcome: str) -> None:
        stopped, self._run, self._stopped = self._stopped, None, False
        if self._open and stopped:
            self._update()  # somebody may want it again
        elif self._open and outcome != "finished":
            self.note.say(outcome)

    # what changes around

    def _on_exposure(self) -> None:
        if self._closed is not None:
            group = self._group()
            method = closed_form_method(self._closed.measured.source, group["colors"])
            self._closed.update(method, device="cpu", **group)

    def _group(self) -> dict[str, Any]:
        names = ("colors", "statistics")
        return {name: getattr(self.controls, name).value for name in names}

    def _on_image(self) -> None:
        if self._open:
            self.choice.value = _ALL

    def _on_inserted(self) -> None:
        if self._comparison is not None:
            self._raise_closed()
            self._update()

    def _raise_closed(self) -> None:
        """Move the closed form above what is enhanced, so that it follows it side by side."""
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
