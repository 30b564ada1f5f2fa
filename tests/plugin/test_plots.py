"""The plots: of the loss, of histograms, and of the curve that a result amounts to."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.theme import get_theme
from parts import part_of
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication
from superqt import QCollapsible

import napari_noiser as noiser
from napari_noiser.plugin.results import statistics
from napari_noiser.plugin.results.statistics import ResultStatistics, result_statistics
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.plot_data import histogram_figure, transfer_figure
from napari_noiser.plugin.widgets.plots_section import PlotsSection

LOSS, HISTOGRAMS, TRANSFER = "loss while training", "histograms", "transfer curve"


@pytest.fixture
def viewer(viewer: ViewerModel, dim_stack: Image) -> ViewerModel:
    viewer.add_layer(dim_stack)
    return viewer


@pytest.fixture
def plots(widget: NoiserWidget) -> PlotsSection:
    return part_of(widget, PlotsSection)


def box(widget: NoiserWidget) -> QCollapsible:
    boxes = widget.native.findChildren(QCollapsible)
    (found,) = (each for each in boxes if each.text().endswith("Plots"))
    return found


def unfold(widget: NoiserWidget) -> None:
    box(widget).expand()


def fold(widget: NoiserWidget) -> None:
    box(widget).collapse()


@pytest.fixture
def apply(widget: NoiserWidget, plots: PlotsSection, wait_for_run, qtbot) -> Callable[[], None]:
    """Return a function that applies, and waits for the plots, if they are unfolded."""

    def apply() -> None:
        widget.apply.native.click()
        wait_for_run()
        if plots.canvas is not None:
            qtbot.waitUntil(lambda: isinstance(plots._statistics, ResultStatistics))

    return apply


def lines(plots: PlotsSection) -> list[tuple[list[float], list[float]]]:
    """Return what is drawn on the canvas, the last line of each plot."""
    drawn = (plot.listDataItems()[-1].getOriginalDataset() for plot in plots.canvas.plots)
    return [(x.tolist(), y.tolist()) for x, y in drawn]


def test_before_anything_has_run_it_says_what_will_be_there(widget, plots) -> None:
    unfold(widget)
    for choice, said in ((LOSS, "Train"), (HISTOGRAMS, "Apply"), (TRANSFER, "Apply")):
        plots.choice.value = choice
        assert plots.caption.value.startswith(said)
        assert not plots.canvas.plots
    assert plots.choice.tooltip


def test_the_loss_is_drawn_while_it_falls_and_kept_with_the_model(
    widget, plots, wait_for_run, qtbot, tmp_path
) -> None:
    unfold(widget)
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    qtbot.waitUntil(lambda: len(plots.figure.panels) == 1, timeout=60_000)
    assert plots.choice.value == LOSS
    qtbot.waitUntil(lambda: len(lines(plots)[0][0]) > 3, timeout=60_000)
    widget.cancel.native.click()
    wait_for_run()
    widget.controls.recipe.fields["iterations"].value = "4"
    widget.training.train.native.click()
    wait_for_run()
    trained = widget.controls.model.value
    assert lines(plots) == [([0.5, 1.5, 2.5, 3.5], list(trained.losses))]
    widget.training.save_model(tmp_path / "mine")
    widget.controls.model.value = "noiser"
    assert "Ready-made models do not" in plots.caption.value
    assert not plots.canvas.plots
    widget.training.load_models([tmp_path / "mine.safetensors"])
    assert lines(plots) == [([0.5, 1.5, 2.5, 3.5], list(trained.losses))]


def test_a_result_is_drawn(widget, plots, viewer, dim_stack, apply) -> None:
    unfold(widget)
    apply()
    made = result_statistics(dim_stack.data, viewer.layers[-1].data, "ZYX")
    assert plots.choice.value == HISTOGRAMS
    (before, _), (after, heights) = lines(plots)
    assert (before, after) == (made.before.edges.tolist(), made.after.edges.tolist())
    np.testing.assert_allclose(10 ** np.array(heights), np.maximum(made.after.counts, 0.5))
    plots.choice.value = TRANSFER
    ((raw, median),) = lines(plots)
    assert (raw, median) == (made.transfer.raw.tolist(), made.transfer.median.tolist())
    assert "rank correlation with the raw data is 0." in plots.caption.value


def test_what_one_looks_at_is_not_taken_away(widget, plots, wait_for_run) -> None:
    widget.controls.recipe.fields["iterations"].value = "3"
    widget.training.train.native.click()
    wait_for_run()
    assert plots.choice.value == LOSS
    widget.apply.native.click()
    wait_for_run()
    assert plots.choice.value == LOSS
    plots.choice.value = TRANSFER
    widget.training.train.native.click()
    wait_for_run()
    assert plots.choice.value == TRANSFER


@pytest.fixture
def threads(monkeypatch) -> list[threading.Thread]:
    """The threads on which images are compared with their results."""
    threads = []
    for name in ("sample_values", "histogram", "transfer_curve", "measure_linearity"):
        compute = getattr(statistics, name)

        def watched(*arguments, compute=compute, **options) -> object:
            threads.append(threading.current_thread())
            return compute(*arguments, **options)

        monkeypatch.setattr(statistics, name, watched)
    return threads


def test_nothing_is_computed_drawn_or_imported_before_it_is_unfolded(
    widget, plots, apply, threads, qtbot
) -> None:
    apply()
    assert plots.canvas is None
    assert not threads
    unfold(widget)
    qtbot.waitUntil(lambda: len(lines(plots)) == 2)
    assert threads


def test_folded_again_it_waits_with_the_next_result(widget, plots, apply, threads, qtbot) -> None:
    unfold(widget)
    apply()
    fold(widget)
    threads.clear()
    widget.controls.options["brightness"].value = 0.5
    widget.apply.native.click()
    qtbot.waitUntil(lambda: widget.status.value.startswith("finished"), timeout=60_000)
    qtbot.wait(50)
    assert not threads
    before = plots.figure
    unfold(widget)
    qtbot.waitUntil(lambda: bool(plots.figure.panels))
    assert plots.figure is not before


def test_it_computes_in_the_background(widget, apply, threads) -> None:
    unfold(widget)
    apply()
    assert len(threads) == 5
    assert threading.main_thread() not in threads


def test_a_result_that_is_gone_is_no_error(widget, plots, viewer, apply, qtbot) -> None:
    apply()
    viewer.layers.clear()
    viewer.add_image(np.eye(9))  # napari remembers what was selected last
    gc.collect()
    unfold(widget)
    qtbot.waitUntil(lambda: "Apply again" in plots.caption.value)
    assert not plots.canvas.plots


def test_the_colors_are_naparis(widget, plots, viewer, apply) -> None:
    unfold(widget)
    apply()
    for name in ("light", "dark"):
        viewer.theme = name
        theme = get_theme(name)
        paper = plots.canvas.backgroundBrush().color().name()
        axis = plots.canvas.plots[0].getAxis("bottom")
        assert paper == theme.background.as_hex(format="long")
        for color in (axis.pen().color(), axis.textPen().color()):
            assert color.name() == theme.text.as_hex(format="long")
        assert theme.text.as_hex() in axis.labelString()


def test_the_wheel_is_left_to_the_dock(widget, plots) -> None:
    unfold(widget)
    nowhere, none = QPointF(50, 50), Qt.MouseButton.NoButton
    wheel = QWheelEvent(
        nowhere,
        nowhere,
        QPoint(0, -60),
        QPoint(0, -120),
        none,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(plots.canvas.viewport(), wheel)
    assert not wheel.isAccepted()


def test_without_pyqtgraph_it_says_what_to_install(
    widget, plots, monkeypatch, wait_for_run
) -> None:
    monkeypatch.setitem(sys.modules, "pyqtgraph", None)
    monkeypatch.delitem(sys.modules, "napari_noiser.plugin.widgets.plot_canvas", raising=False)
    unfold(widget)
    assert 'pip install "napari-noiser[all]"' in plots.caption.value
    assert not plots.choice.enabled
    widget.apply.native.click()
    wait_for_run()
    assert 'pip install "napari-noiser[all]"' in plots.caption.value


def test_a_result_after_closing_is_no_error(viewer, qtbot, wait_for_run) -> None:
    widget = NoiserWidget(viewer)
    unfold(widget)
    widget.apply.native.click()
    native = widget.native
    with qtbot.waitSignal(native.destroyed):
        native.deleteLater()
    viewer.theme = "light"
    wait_for_run()
    assert len(viewer.layers) == 2


@pytest.mark.parametrize(
    ("raw", "shown", "across"),
    [
        (np.uint16, np.float32, ["image: raw value (gray levels)", "result (0 black, 1 white)"]),
        (np.float32, np.uint8, ["image: raw value", "result (0 black, 255 white)"]),
    ],
)
def test_axes_say_what_is_on_them(raw, shown, across) -> None:
    image = np.arange(64).reshape(8, 8)
    made = result_statistics(image.astype(raw), (image / 64).astype(shown), "YX")
    assert [panel.x_label for panel in histogram_figure(made).panels] == across
    assert "Of 64 values" in histogram_figure(made).caption
    (panel,) = transfer_figure(made).panels
    assert (panel.x_label, panel.y_label) == (across[0].removeprefix("image: "), "result")


def test_an_image_without_a_finite_value_has_no_plots() -> None:
    """Its enhancement fails, but not that of a large image of which only the sample is empty."""
    made = result_statistics(np.full((8, 8), np.nan), np.full((8, 8), np.nan), "YX")
    for figure in (histogram_figure(made), transfer_figure(made)):
        assert (figure.caption, figure.panels) == ("None of the values sampled is finite.", ())


def test_a_constant_image_has_plots(widget, plots, viewer, apply) -> None:
    viewer.layers.clear()
    viewer.add_image(np.full((20, 20), 7))
    unfold(widget)
    apply()
    plots.choice.value = TRANSFER
    assert lines(plots) == [([7], [pytest.approx(0.05)])]  # black, as nothing stands out


def test_a_model_without_losses_has_no_curve(widget, plots) -> None:
    model = replace(noiser.load_model("noiser"), losses=())
    unfold(widget)
    widget.controls.model.add(model)
    plots.choice.value = LOSS
    assert not plots.figure.panels
