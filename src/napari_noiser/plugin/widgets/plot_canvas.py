"""Drawing of figures in napari's colors: the only file that imports pyqtgraph."""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg
from napari.utils.theme import Theme
from qtpy.QtGui import QWheelEvent

from napari_noiser.plugin.widgets.plot_data import Panel

_HEIGHT = 150  # pixels a panel
_LEFT = 52  # pixels for the numbers, so that all panels begin at one line
_LINE = "#d55e00"  # visible on dark and light, and to the color-blind
_BAND = "#d55e0050"


class PlotCanvas(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """A column of plots in a theme's colors, one for each panel of a figure."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.ci.setContentsMargins(0, 4, 8, 4)
        self.plots: list[pg.PlotItem] = []
        self._panels: Sequence[Panel] = ()
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Draw in the colors of a theme."""
        self.setBackground(theme.background.as_hex())
        self._ink = theme.text.as_hex()
        self.show_panels(self._panels)

    def show_panels(self, panels: Sequence[Panel]) -> None:
        """Draw these panels instead of those before."""
        self._panels = panels
        if len(panels) != len(self.plots):
            self.clear()
            self.plots = [_add_plot(self, row) for row in range(len(panels))]
        for plot, panel in zip(self.plots, panels, strict=True):
            _label(plot, panel, self._ink)
            _draw(plot, panel, self._ink)
        self.setFixedHeight(_HEIGHT * max(1, len(panels)))

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Let the dock scroll."""
        event.ignore()


def _add_plot(canvas: PlotCanvas, row: int) -> pg.PlotItem:
    # A menu would be a window of its own, which nobody closes.
    plot = canvas.addPlot(row=row, col=0, enableMenu=False)
    plot.setMouseEnabled(x=False, y=False)
    plot.hideButtons()
    plot.getAxis("left").setWidth(_LEFT)
    return plot


def _label(plot: pg.PlotItem, panel: Panel, ink: str) -> None:
    for side, text in (("bottom", panel.x_label), ("left", panel.y_label)):
        axis = plot.getAxis(side)
        axis.enableAutoSIPrefix(False)  # which would write counts as (x1e+03)
        axis.setLabel(text, color=ink)
        axis.setPen(ink)
        axis.setTextPen(ink)
    plot.getAxis("left").setLogMode(panel.log_y)


def _draw(plot: pg.PlotItem, panel: Panel, ink: str) -> None:
    plot.clear()
    line = pg.mkPen(_LINE, width=2)
    if len(panel.x) == len(panel.y) + 1:
        floor = float(panel.y.min())
        plot.plot(panel.x, panel.y, stepMode="center", fillLevel=floor, brush=_BAND, pen=_LINE)
        return
    if panel.band is not None:
        edges = [pg.PlotCurveItem(panel.x, each, pen=None) for each in panel.band]
        for item in (*edges, pg.FillBetweenItem(*edges, brush=_BAND)):
            plot.addItem(item)
    if panel.diagonal:
        ends = panel.x[[0, -1]], panel.y[[0, -1]]
        plot.plot(*ends, pen=pg.mkPen(ink, style=pg.QtCore.Qt.PenStyle.DashLine))
    plot.plot(panel.x, panel.y, pen=line)
