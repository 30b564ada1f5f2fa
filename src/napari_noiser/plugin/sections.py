"""The widget's further sections: each folded until it is wanted, and told what goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from magicgui.widgets import Container
from napari import Viewer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QSizePolicy, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_noiser.plugin.controls import Controls
from napari_noiser.plugin.keeping import Enhanced
from napari_noiser.progress import Event

__all__ = ["Section", "make_sections", "scrolled"]

_ANY_HEIGHT = 2**24 - 1  # Qt's own limit
_LOWEST = 120  # pixels: a little of what is unfolded


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
        box.setDuration(0)
        box.setContent(self.native)
        # Both would give texts the height of what they are before their lines break.
        box.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        box.layout().setAlignment(Qt.AlignmentFlag(0))
        box.layout().setContentsMargins(0, 0, 0, 0)
        box.collapse(animate=False)
        box.toggled.connect(self._on_toggled)
        return box

    def _on_toggled(self, unfolded: bool) -> None:
        if unfolded:
            self.native.setMaximumHeight(_ANY_HEIGHT)  # it may say more later on
            self.on_unfold()

    def on_unfold(self) -> None:
        """Make ready: somebody looks."""

    def on_event(self, event: Event) -> None:
        """Look at a step of the work that runs; called some twenty times a second."""

    def on_enhanced(self, enhanced: Enhanced) -> None:
        """Look at a finished result, whose layer is in the viewer."""

    def on_leave(self) -> None:
        """Take away what was only there to be looked at: the widget leaves its dock."""

    def on_close(self) -> None:
        """Let go of everything: the widget is closing."""


def make_sections(viewer: Viewer, controls: Controls) -> Iterator[Section]:
    """Yield all sections, from top to bottom."""
    from napari_noiser.plugin.compare import CompareSection
    from napari_noiser.plugin.plots import PlotsSection
    from napari_noiser.plugin.preview import PreviewSection
    from napari_noiser.plugin.repeat import RepeatSection

    for kind in (PreviewSection, CompareSection, PlotsSection, RepeatSection):
        yield kind(viewer, controls)


def scrolled(sections: Iterable[Section]) -> QScrollArea:
    """Return sections below each other, in what height the dock has left for them."""
    inside = QWidget()
    layout = QVBoxLayout(inside)
    layout.setContentsMargins(0, 0, 0, 0)
    for section in sections:
        layout.addWidget(section.folded())
    layout.addStretch()
    area = QScrollArea(widgetResizable=True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setMinimumWidth(
        inside.minimumSizeHint().width() + area.verticalScrollBar().sizeHint().width()
    )
    area.setMinimumHeight(_LOWEST)
    area.setWidget(inside)
    return area
