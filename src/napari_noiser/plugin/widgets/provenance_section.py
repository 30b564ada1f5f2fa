"""The section that says how a result was made, and repeats it: as a script or on another image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from magicgui.widgets import PushButton
from napari import Viewer
from napari.layers import Layer
from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt

from napari_noiser.plugin.commands import copy_as_python
from napari_noiser.plugin.results.reapply import (
    ANOTHER,
    gain_map_from_provenance,
    provenance_of,
    regions_from_provenance,
    same_model,
    settings_from_provenance,
    with_axes_of,
)
from napari_noiser.plugin.results.summary import format_provenance
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.background_task import BackgroundTask, TaskRunning
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.enhance import start_enhancing
from napari_noiser.plugin.tasks.errors import describe_error
from napari_noiser.plugin.widgets.qt_helpers import Note, row
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

_NO_RESULT = "Choose a result in the layer list to read how it was made."


class ProvenanceSection(Section):
    """The provenance of the active layer, if it is a result, and two ways to repeat it."""

    title = "Repeat"

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__(viewer, controls)
        self.how = Note()
        self.how.tooltip = "How the result chosen in the layer list was made."
        self.how.native.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.copy = PushButton(
            text="Copy as Python",
            tooltip="Put a script into the clipboard that makes the same array without napari. In "
            "the console: napari_noiser.as_python(layer)",
        )
        self.apply = PushButton(
            text="Apply to image",
            tooltip="Enhance the image chosen at the top as this result was made; where it is "
            "kept is chosen there, too. In the console: napari_noiser.reapply(layer, image)",
        )
        self.note = Note()
        self.extend([self.how, row(self.copy, self.apply), self.note])
        self.copy.changed.connect(self._copy)
        self.apply.changed.connect(self.start)
        self._active = viewer.layers.selection.events.active
        self._active.connect(self.show_active)
        self.show_active()

    @property
    def result(self) -> Layer | None:
        """The active layer, which may be no result."""
        return self.viewer.layers.selection.active

    def show_active(self) -> None:
        """Say how the active layer was made."""
        try:
            text = format_provenance(provenance_of(self.result))
        except ValueError:
            text = ""
        self.how.say(text or _NO_RESULT)
        self.copy.enabled = bool(text)
        self.apply.enabled = bool(text) and BackgroundTask.current is None

    def on_running(self, running: bool) -> None:
        """Enable Apply unless a task runs."""
        self.show_active()

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Say how the result was made, if its layer had been active while it was unfinished."""
        self.show_active()

    def on_close(self) -> None:
        """Disconnect from the viewer: the widget is closing."""
        super().on_close()
        self._active.disconnect(self.show_active)

    def settings(self, provenance: dict[str, Any]) -> Settings:
        """Return the settings of a result, but for where the new one is kept, as chosen above."""
        chosen = self.controls.settings
        layers = self.viewer.layers
        return replace(
            settings_from_provenance(provenance, self.controls.model.models),
            keep=chosen.keep,
            results_folder=chosen.results_folder,
            **regions_from_provenance(provenance, layers),
            **gain_map_from_provenance(provenance, layers),
        )

    def start(self) -> None:
        """Enhance the chosen image as the active result was made, in the background."""
        try:
            provenance = provenance_of(self.result)
            start_enhancing(
                self.viewer,
                [with_axes_of(provenance, self.controls.source)],
                self.settings(provenance),
                lambda enhanced: _warn_of_other_model(provenance, enhanced.provenance),
            )
        except (TaskRunning, ValueError) as error:
            self.note.say(describe_error(error))
        else:
            self.note.say("")

    def _copy(self) -> None:
        copy_as_python(self.result)


def _warn_of_other_model(provenance: dict[str, Any], again: dict[str, Any]) -> None:
    if not same_model(provenance, again):
        show_warning(ANOTHER)
