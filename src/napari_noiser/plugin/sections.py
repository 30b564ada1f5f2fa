"""The widget's further sections: each folded until it is wanted, and told what goes on."""

from __future__ import annotations

from collections.abc import Iterator

from magicgui.widgets import Container
from napari import Viewer
from superqt import QCollapsible

from napari_noiser.plugin.controls import Controls
from napari_noiser.plugin.keeping import Enhanced
from napari_noiser.progress import Event

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

    def __init__(self, viewer: Viewer, controls: Controls) -> None:
        super().__init__(label="", labels=False)
        self.margins = (0, 0, 0, 0)
        self.viewer, self.controls = viewer, controls

    def folded(self) -> QCollapsible:
        """Return the section under its title."""
        box = QCollapsible(self.title)
        box.setContent(self.native)
        return box

    def on_event(self, event: Event) -> None:
        """Look at a step of the work that runs; called some twenty times a second."""

    def on_enhanced(self, enhanced: Enhanced) -> None:
        """Look at a finished result, whose layer is in the viewer."""

    def on_close(self) -> None:
        """Let go of everything: the widget is closing."""


def make_sections(viewer: Viewer, controls: Controls) -> Iterator[Section]:
    """Yield all sections, from top to bottom."""
    yield from ()
