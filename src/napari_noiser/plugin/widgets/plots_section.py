"""The section of plots: the loss while training, and the result compared with its image."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox
from napari import Viewer
from napari.utils.theme import get_theme

from napari_noiser._progress import Event
from napari_noiser.plugin.results.statistics import ResultStatistics
from napari_noiser.plugin.tasks.background_task import limit_threads
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.latest_only import LatestOnly
from napari_noiser.plugin.widgets.plot_data import (
    Figure,
    LossCurve,
    histogram_figure,
    loss_curves,
    loss_figure,
    transfer_figure,
)
from napari_noiser.plugin.widgets.qt_helpers import Note
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_noiser.plugin.widgets.plot_canvas import PlotCanvas

_LOSS, _HISTOGRAMS, _TRANSFER = "loss while training", "histograms", "transfer curve"
_NO_PYQTGRAPH = 'Plots need pyqtgraph: pip install "napari-noiser[all]"'
_NO_LOSS = "Train and Fit show here how the loss falls. Ready-made models do not carry theirs."
_NO_RESULT = "Apply shows here what the result makes of the image."
_COMPUTING = "Comparing the result with the image…"


class PlotsSection(Section):
    """One of three figures; nothing is computed, drawn or imported before it is unfolded."""

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
        self._losses: dict[str, LossCurve] = {}
        self._statistics: ResultStatistics | str | None = None
        self._compute: Callable[[], ResultStatistics] | None = None  # those of a new result
        self._latest = LatestOnly(_computed, self._on_statistics)
        self.choice.changed.connect(self._draw)
        controls.model.changed.connect(self._on_model)
        viewer.events.theme.connect(self._on_theme)
        self._on_model()

    def on_unfold(self) -> None:
        """Make the canvas, for which pyqtgraph may be missing, and compute what it will show."""
        if self.canvas is None:
            self._make_canvas()
        self._submit()

    def _make_canvas(self) -> None:
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
        """Append to the loss curve."""
        if not hasattr(event, "loss"):
            return
        trained = event.stage == "train"
        before = [curve.steps[-1] for curve in self._losses.values()]
        if trained != ("train" in self._losses) or event.done <= max(before, default=0):
            self._losses = {}  # another training
        curve = self._losses.setdefault(event.stage, LossCurve([], []))
        curve.steps.append(event.done)
        curve.losses.append(event.loss)
        self._draw_new(_LOSS)

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Compare the result with its image, once the section is unfolded."""
        self._latest.cancel()
        self._compute, self._statistics = enhanced.statistics, _COMPUTING
        self._submit()
        self._draw_new(_HISTOGRAMS, _TRANSFER)

    def on_close(self) -> None:
        """Draw and compute nothing any more: the widget is closing."""
        super().on_close()
        self._latest.cancel()
        self._statistics = self._compute = None

    @property
    def figure(self) -> Figure:
        """The chosen figure."""
        if self.choice.value == _LOSS:
            return loss_figure(self._losses) if self._losses else Figure(_NO_LOSS)
        if not isinstance(self._statistics, ResultStatistics):
            return Figure(self._statistics or _NO_RESULT)
        make = histogram_figure if self.choice.value == _HISTOGRAMS else transfer_figure
        return make(self._statistics)

    def _submit(self) -> None:
        """Compute the statistics of a new result on a thread, if somebody looks at them."""
        if self.unfolded and self.canvas is not None and self._compute is not None:
            compute, self._compute = self._compute, None
            self._latest.submit(compute)

    def _on_statistics(self, statistics: ResultStatistics | str) -> None:
        if self._open:
            self._statistics = statistics
            self._draw_new(_HISTOGRAMS, _TRANSFER)

    def _on_model(self) -> None:
        model = self.controls.model.value
        self._losses = {} if isinstance(model, str) else loss_curves(model)
        self._draw_new(_LOSS)

    def _draw_new(self, *choices: str) -> None:
        """Draw figures that changed, if one is chosen or there is nothing yet in that."""
        if self.choice.value in choices:
            self._draw()
        elif self.figure.caption in (_NO_LOSS, _NO_RESULT):
            self.choice.value = choices[0]

    def _on_theme(self) -> None:
        if self._open and self.canvas is not None:
            self.canvas.set_theme(get_theme(self.viewer.theme))

    def _draw(self) -> None:
        if not self._open or self.canvas is None:
            return
        figure = self.figure
        self.canvas.setVisible(bool(figure.panels))
        self.canvas.show_panels(figure.panels)
        self.caption.say(figure.caption)


def _computed(compute: Callable[[], ResultStatistics]) -> ResultStatistics | str:
    """Return the statistics of a result, or why there are none; called on any thread."""
    try:
        with limit_threads():
            return compute()
    except Exception as error:  # whatever a reader raises: it is a caption, not a pop-up
        return f"The result could not be compared: {error or type(error).__name__}"
