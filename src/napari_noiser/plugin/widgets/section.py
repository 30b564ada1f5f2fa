"""What the widget's folded sections have in common."""

from __future__ import annotations

from magicgui.widgets import Widget
from napari import Viewer

from napari_noiser._progress import Event
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.widgets.qt_helpers import Column, form
from napari_noiser.plugin.widgets.settings_form import SettingsForm


class Section(Column):
    """A part of the widget that is folded at first, below the controls."""

    title = ""

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__()
        self.viewer, self.controls = viewer, controls
        self._open = True

    @property
    def unfolded(self) -> bool:
        """Whether its contents are shown."""
        return not self.native.isHidden()

    def on_unfold(self) -> None:
        """Prepare what is shown: it is being unfolded."""

    def on_running(self, running: bool) -> None:
        """Enable or disable buttons: a background task has begun or ended."""

    def on_event(self, event: Event) -> None:
        """Handle a step of the running task; called some twenty times a second."""

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Handle a finished result, whose layer is in the viewer."""

    def on_leave(self) -> None:
        """Remove temporary layers and cancel tasks: the widget leaves its dock."""

    def on_close(self) -> None:
        """Disconnect from the viewer: the widget is closing."""
        self._open = False


class OptionsSection(Section):
    """Controls of options; it is only there while one of them is."""

    def __init__(self, viewer: Viewer, controls: SettingsForm, title: str, *notes: Widget) -> None:
        super().__init__(viewer, controls)
        self.title = title
        self._rows = [*controls.rows(title)]
        self.extend([form(*self._rows), *notes])

    @property
    def needed(self) -> bool:
        """Whether there is a control to be shown."""
        return any(not row.native.isHidden() for row in self._rows)
