"""The widget's further sections: each folded until it is wanted, and told what goes on."""

from __future__ import annotations

from collections.abc import Iterator

from magicgui.widgets import Container
from napari import Viewer

from napari_noiser._progress import Event
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.widgets.settings_form import SettingsForm

__all__ = ["Section", "make_sections"]


class Section(Container):
    """A part of the widget that is folded away at first.

    Parameters
    ----------
    viewer : napari.Viewer
        In which it is.
    controls : Controls
        What is chosen above it.
    """

    title = ""

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__(label="", labels=False)
        self.margins = (0, 0, 0, 0)
        self.viewer, self.controls = viewer, controls

    def on_unfold(self) -> None:
        """Make ready: somebody looks."""

    def on_running(self, running: bool) -> None:
        """Know whether work runs that the widget shows."""

    def on_event(self, event: Event) -> None:
        """Look at a step of the work that runs; called some twenty times a second."""

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Look at a finished result, whose layer is in the viewer."""

    def on_leave(self) -> None:
        """Take away what was only there to be looked at: the widget leaves its dock."""

    def on_close(self) -> None:
        """Let go of everything: the widget is closing."""


def make_sections(viewer: Viewer, controls: SettingsForm, training: Section) -> Iterator[Section]:
    """Yield all sections, from top to bottom."""
    from napari_noiser.plugin.widgets.compare_section import CompareSection
    from napari_noiser.plugin.widgets.plots_section import PlotsSection
    from napari_noiser.plugin.widgets.preview_section import PreviewSection
    from napari_noiser.plugin.widgets.provenance_section import ProvenanceSection

    yield PreviewSection(viewer, controls)
    yield CompareSection(viewer, controls)
    yield training
    yield PlotsSection(viewer, controls)
    yield ProvenanceSection(viewer, controls)
