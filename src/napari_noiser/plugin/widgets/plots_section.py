"""The section of plots: how the network learned, and what the result made of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from napari import Viewer
from napari.utils.theme import get_theme

import napari_noiser.plugin.widgets.plot_data as figures
from napari_noiser._progress import Event
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.widgets.plot_data import Figure, LossCurve, learned_by
from napari_noiser.plugin.widgets.qt_helpers import Note
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_noiser.plugin.results.statistics import ResultStatistics
    from napari_noiser.plugin.widgets.plot_canvas import PlotCanvas

__all__ = ["PlotsSection"]

_LOSS, _HISTOGRAMS, _TRANSFER = "loss while training", "histograms", "transfer curve"
_NO_PYQTGRAPH = 'Plots need pyqtgraph: pip install "napari-noiser[all]"'
_NO_LOSS = "Train and Fit show here how the loss falls. Ready-made models do not carry theirs."
_NO_RESULT = "Apply shows here what the result makes of the image."


class PlotsSection(Section):
    """Shows one of three figures; nothing is drawn, or imported, before it is unfolded."""

    title = "Plots"

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__(viewer, controls)
        self.choice = ComboBox(
            choices=(_LOSS, _HISTOGRAMS, _TRANSFER),
            value=_HISTOGRAMS,
            tooltip="Loss: how the network learned. Histograms: how often each value occurs, in "
            "the image and in its result. Transfer curve: which result each raw value has, and so "
            "how far the display is from being linear.",
        )
        self.caption = Note()
        self.canvas: PlotCanvas | None = None
        self.extend([self.choice, self.caption])
        self._open = True
        self._learned: dict[str, LossCurve] = {}
        self._report: ResultStatistics | None = None
        self.choice.changed.connect(self._draw)
        controls.model.changed.connect(self._on_model)
        viewer.events.theme.connect(self._on_theme)
        self._on_model()

    def on_unfold(self) -> None:
        """Make the canvas: pyqtgraph takes a moment to import, and may be missing."""
        if self.canvas is not None:
            return
        try:
            from napari_noiser.plugin.widgets.plot_canvas import PlotCanvas
        except ImportError:
            self.choice.enabled = False
            self.caption.say(_NO_PYQTGRAPH)
            return
        self.canvas = PlotCanvas(get_theme(self.viewer.theme))
        self.native.layout().insertWidget(1, self.canvas)
        self._draw()

    def on_event(self, event: Event) -> None:
        """Follow the loss."""
        if not hasattr(event, "loss"):
            return
        trained = event.stage == "train"
        before = [curve.steps[-1] for curve in self._learned.values()]
        if trained != ("train" in self._learned) or event.done <= max(before, default=0):
            self._learned = {}  # another training
        curve = self._learned.setdefault(event.stage, LossCurve([], []))
        curve.steps.append(event.done)
        curve.losses.append(event.loss)
        self._news(_LOSS)

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Show what the result made of its image."""
        self._report = enhanced.report
        self._news(_HISTOGRAMS, _TRANSFER)

    def on_close(self) -> None:
        """Let go of everything: the widget is closing."""
        self._open = False
        self._report = None

    @property
    def figure(self) -> Figure:
        """What is chosen."""
        if self.choice.value == _LOSS:
            return (
                figures.loss_figure(self._learned)
                if self._learned
                else figures.empty_figure(_NO_LOSS)
            )
        if self._report is None:
            return figures.empty_figure(_NO_RESULT)
        make = (
            figures.histogram_figure
            if self.choice.value == _HISTOGRAMS
            else figures.transfer_figure
        )
        return make(self._report)

    def _on_model(self) -> None:
        model = self.controls.model.value
        self._learned = {} if isinstance(model, str) else learned_by(model)
        self._news(_LOSS)

    def _news(self, *about: str) -> None:
        """Draw what is new, if it is chosen or there was nothing to see."""
        if self.choice.value in about:
            self._draw()
        elif not self.figure.panels:
            self.choice.value = about[0]

    def _on_theme(self) -> None:
        if self._open and self.canvas is not None:
            self.canvas.dress(get_theme(self.viewer.theme))

    def _draw(self) -> None:
        if not self._open or self.canvas is None:
            return
        figure = self.figure
        self.canvas.setVisible(bool(figure.panels))
        self.canvas.show_panels(figure.panels)
        self.caption.say(figure.caption)
