"""The task that runs is the plugin's: any open widget shows it, cancels it, and hears its end."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noiser.plugin.commands import enhance_selected
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget

DIM = np.random.default_rng(0).poisson(4, (40, 50)).astype(np.uint16)


def train_for_long(widget: NoiserWidget, qtbot) -> None:
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    qtbot.waitUntil(lambda: "train" in widget.status.value, timeout=60_000)


def close(widget: NoiserWidget, qtbot) -> None:
    with qtbot.waitSignal(widget.native.destroyed):
        widget.native.deleteLater()


def test_a_widget_opened_later_shows_and_cancels(
    widget: NoiserWidget, opened, wait_for_run, qtbot
) -> None:
    train_for_long(widget, qtbot)
    later = opened()
    assert "train" in later.status.value
    assert (later.apply.enabled, later.cancel.enabled) == (False, True)
    later.cancel.native.click()
    assert "canceling" in later.status.value
    wait_for_run()
    for each in (widget, later):
        assert each.status.value.startswith("canceled")
        assert (each.apply.enabled, each.cancel.enabled) == (True, False)


def test_what_the_command_started_is_shown_and_can_be_canceled(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    viewer.add_image(np.stack([DIM] * 9), name="dim")
    enhance_selected(viewer)
    assert widget.cancel.enabled
    assert "Enhancing dim" in widget.status.value
    assert "Enhancing dim" in viewer.status
    widget.cancel.native.click()
    wait_for_run()
    assert widget.status.value.startswith("canceled")
    assert [layer.name for layer in viewer.layers] == ["dim"]


def test_a_run_outlives_the_widget_that_started_it(
    viewer: ViewerModel, opened, wait_for_run, qtbot
) -> None:
    viewer.add_image(np.stack([DIM] * 9), name="dim")
    first = NoiserWidget(viewer)
    first.apply.native.click()
    close(first, qtbot)
    again = opened()
    assert again.cancel.enabled
    wait_for_run()
    assert again.status.value.startswith("finished")
    assert len(viewer.layers) == 2


def test_a_closed_widget_is_let_go_of(widget: NoiserWidget, viewer: ViewerModel, qtbot) -> None:
    signals = BackgroundTask.signals
    every = (signals.started, signals.progressed, signals.result, signals.ended)
    gc.collect()
    before = [len(each) for each in every]
    close(NoiserWidget(viewer), qtbot)
    assert [len(each) for each in every] == before


def test_the_first_click_says_what_it_waits_for() -> None:
    code = (
        "import os, sys; from qtpy.QtWidgets import QApplication; app = QApplication([]);"
        "from napari_noiser.plugin.tasks.background_task import BackgroundTask;"
        "task = BackgroundTask('A test', lambda: iter(()), print);"
        "os._exit('torch' in task.progress and 'torch' not in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 1


def test_another_image_takes_what_was_true_of_the_last_away(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    controls = widget.controls
    stack = viewer.add_image(np.stack([DIM] * 3), name="stack")
    labels = viewer.add_labels(np.ones(stack.data.shape, int))
    controls.options["ndim"].value, controls.region.value = 3, labels
    widget.apply.native.click()
    wait_for_run()
    assert widget.status.value.startswith("finished")
    alike = viewer.add_image(np.stack([DIM] * 3), name="alike")
    controls.image.value = alike
    assert widget.status.value == ""
    assert controls.options["ndim"].value == 2
    assert controls.region.value is labels  # it fits
    controls.options["ndim"].value = 3
    controls.image.value = viewer.add_image(DIM, name="plane")
    assert controls.region.value is None
    assert controls.options["ndim"].value == 2
    assert controls.axes.value == "YX"


@pytest.mark.parametrize(
    ("model", "verb", "made"),
    [
        ("noiser", "enhance", "brightened"),
        ("structured", "enhance", "denoised"),
        ("structured", "denoise", "counts"),
    ],
)
def test_a_result_is_called_after_what_it_is(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run, model: str, verb: str, made: str
) -> None:
    viewer.add_image(np.tile(DIM, (2, 2)), name="dim")
    widget.controls.model.value, widget.controls.verb.value = model, verb
    for _ in range(2):
        widget.apply.native.click()
        wait_for_run()
    names = [layer.name for layer in viewer.layers[1:]]
    assert names == [f"dim ({made})", f"dim ({made}) [1]"]


def test_devices_are_offered_that_work_here(widget: NoiserWidget, wait_for_run, qtbot) -> None:
    import torch

    device = widget.controls.options["device"]
    there = {"cuda": torch.cuda, "mps": torch.backends.mps, "xpu": torch.xpu}
    expected = ["auto", "cpu", *(name for name, each in there.items() if each.is_available())]
    qtbot.waitUntil(lambda: list(device.choices) == expected)
    widget.controls.offer_devices(["auto", "cpu", "mps"])
    device.value = "mps"
    widget.controls.offer_devices(["auto", "cpu"])
    assert device.value == "mps"
