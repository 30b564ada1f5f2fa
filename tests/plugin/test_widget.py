"""The widget, driven as a user does, on a viewer without a window."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from magicgui.widgets import PushButton
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager
from parts import rows
from same_metadata import assert_same_metadata

import napari_noiser as noiser
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget


def test_without_an_image_it_says_what_to_do(widget: NoiserWidget, viewer: ViewerModel) -> None:
    viewer.add_points(np.zeros((3, 2)))
    viewer.add_labels(np.zeros((4, 4), int))
    assert widget.controls.image.value is None
    widget.apply.native.click()
    assert "Open an image first" in widget.status.value
    assert BackgroundTask.current is None


def test_layers_come_and_go(widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image) -> None:
    viewer.add_layer(dim_stack)
    assert widget.controls.image.value is dim_stack
    assert widget.controls.axes.value == "ZYX"
    assert widget.controls.axes.choices[:2] == ("ZYX", "TYX")
    viewer.layers.remove(dim_stack)
    assert widget.controls.image.value is None


def test_a_correction_of_the_axes_survives_another_layer(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image
) -> None:
    viewer.add_layer(dim_stack)
    widget.controls.axes.value = "TYX"
    viewer.add_image(np.zeros((8, 8)))
    assert widget.controls.image.value is dim_stack
    assert widget.controls.axes.value == "TYX"


def test_a_layer_chosen_before_has_no_say_any_more(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image
) -> None:
    before = viewer.add_image(np.zeros((3, 8, 8)))
    assert widget.controls.image.value is before
    widget.controls.image.value = viewer.add_layer(dim_stack)
    widget.controls.axes.value = "TYX"
    before.axis_labels = ("t", "y", "x")
    assert widget.controls.axes.value == "TYX"
    widget.controls.image.value = before
    assert widget.controls.axes.value == "TYX"
    widget.controls.on_close()
    before.axis_labels = ("z", "y", "x")
    assert widget.controls.axes.value == "TYX"


def test_it_chooses_the_active_image(viewer: ViewerModel, opened, dim_stack: Image) -> None:
    viewer.add_image(np.zeros((8, 8)), name="first")
    viewer.add_layer(dim_stack)
    widget = opened()
    assert widget.controls.image.value is dim_stack


def test_apply_gives_what_the_console_gives(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image, wait_for_run
) -> None:
    viewer.add_layer(dim_stack)
    controls = widget.controls
    controls.model.value = "noiser-es"
    controls.options["statistics"].value = "plane"
    controls.options["brightness"].value, controls.options["contrast"].value = 0.5, 2.0
    controls.options["dtype"].value = "uint16"
    widget.apply.native.click()
    assert not widget.apply.enabled
    assert widget.cancel.enabled
    wait_for_run()
    assert widget.apply.enabled
    assert not widget.cancel.enabled
    result = viewer.layers["cells (brightened)"]
    expected = noiser.enhance_layer(
        dim_stack, "noiser-es", statistics="plane", brightness=0.5, contrast=2.0, dtype="uint16"
    )
    np.testing.assert_allclose(result.data, expected.data, rtol=0, atol=1)
    np.testing.assert_allclose(result.contrast_limits, expected.contrast_limits, rtol=0, atol=1)
    assert_same_metadata(result, expected)
    assert widget.status.value.startswith("finished")


def test_a_recipe_that_is_not_bundled_trains_first(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    viewer.add_image(np.random.default_rng(0).random((16, 16)), name="dim")
    widget.controls.model.value = "p-regression"
    widget.controls.recipe.fields["iterations"].value = "6"
    widget.controls.seed.value = 3
    widget.apply.native.click()
    wait_for_run()
    made = viewer.layers["dim (brightened)"].metadata["napari_noiser"]
    assert (made["recipe"]["iterations"], made["seed"]) == (6, 3)
    assert [widget.controls.model.value] == list(widget.controls.model.models)


def test_what_will_be_refused_is_not_trained_for(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image, wait_for_run, qtbot
) -> None:
    viewer.add_layer(dim_stack)
    widget.controls.model.value = "p-regression"
    widget.controls.options["ndim"].value, widget.controls.options["statistics"].value = 3, "plane"
    widget.apply.native.click()
    wait_for_run()
    qtbot.wait(50)
    assert widget.status.value.startswith("failed: shared statistics 'plane' does not go with")


def test_choosing_a_model_of_volumes_renders_volumes(
    widget: NoiserWidget, viewer: ViewerModel, tmp_path
) -> None:
    noiser.load_model("noiser", ndim=3).save(tmp_path / "volumes.safetensors")
    widget.training.load_models([tmp_path / "volumes.safetensors"])
    assert widget.controls.options["ndim"].value == 3


def test_the_axes_follow_the_layer(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image
) -> None:
    viewer.add_layer(dim_stack)
    dim_stack.axis_labels = ("t", "y", "x")
    assert widget.controls.axes.value == "TYX"
    layer = viewer.add_image(np.zeros((3, 8, 8)))
    widget.controls.image.value = layer
    layer.data = np.zeros((8, 8))
    assert widget.controls.axes.value == "YX"
    widget.controls.options["ndim"].value = 3


def test_train_save_load_apply(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image, wait_for_run, tmp_path
) -> None:
    viewer.add_layer(dim_stack)
    widget.controls.model.value = "noiser"
    assert widget.controls.recipe.fields["iterations"].value == "2000"
    widget.controls.recipe.fields["iterations"].value = "4"
    widget.controls.seed.value = 7
    widget.training.train.native.click()
    wait_for_run()
    trained = widget.controls.model.value
    assert (trained.seed, trained.recipe.iterations, trained.samples) == (7, 4, 1)
    assert "loss" in widget.status.value
    widget.training.save_model(tmp_path / "mine")
    widget.controls.model.value = "noiser"
    widget.training.load_models([tmp_path / "mine.safetensors"])
    assert widget.controls.model.value.fingerprint == trained.fingerprint
    widget.apply.native.click()
    wait_for_run()
    made = viewer.layers[-1].metadata["napari_noiser"]
    assert made["fingerprint"] == trained.fingerprint
    assert made["seed"] == 7


def test_saving_a_bundled_model_takes_the_form_for_the_image(
    widget: NoiserWidget, viewer: ViewerModel, tmp_path
) -> None:
    viewer.add_image(np.zeros((8, 8, 3), np.uint8), rgb=True)
    widget.controls.model.value = "noiser"
    widget.training.save_model(tmp_path / "color.safetensors")
    assert noiser.load_model(tmp_path / "color.safetensors").samples == 3


def test_cancel_leaves_nothing(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image, wait_for_run, qtbot
) -> None:
    viewer.add_layer(dim_stack)
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    qtbot.waitUntil(lambda: "train" in widget.status.value, timeout=60_000)
    widget.cancel.native.click()
    wait_for_run()
    assert widget.status.value.startswith("canceled")
    assert not widget.controls.model.models
    assert list(viewer.layers) == [dim_stack]
    assert widget.apply.enabled


def test_a_second_apply_is_refused(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image, wait_for_run, qtbot
) -> None:
    viewer.add_layer(dim_stack)
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    widget.start_apply()
    assert "still running" in widget.status.value
    widget.cancel.native.click()
    wait_for_run()


def test_a_layer_deleted_while_the_worker_runs_loses_nothing(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image, wait_for_run
) -> None:
    viewer.add_layer(dim_stack)
    widget.apply.native.click()
    viewer.layers.remove(dim_stack)
    wait_for_run()
    assert [layer.name for layer in viewer.layers] == ["cells (denoised)"]


def test_results_do_not_overwrite_each_other(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image, wait_for_run
) -> None:
    viewer.add_layer(dim_stack)
    for _ in range(2):
        widget.apply.native.click()
        wait_for_run()
    names = [layer.name for layer in viewer.layers]
    assert names == ["cells", "cells (denoised)", "cells (denoised) [1]"]


def test_an_error_in_the_worker_is_shown_and_the_widget_goes_on(
    widget: NoiserWidget, viewer: ViewerModel, qtbot
) -> None:
    viewer.add_image(np.full((8, 8), np.nan), contrast_limits=(0, 1))
    widget.apply.native.click()
    qtbot.waitUntil(lambda: BackgroundTask.current is None, timeout=60_000)
    qtbot.wait(50)
    assert "no patch to measure" in notification_manager.records[-1].message
    assert widget.apply.enabled
    assert widget.status.value.startswith("failed: image has no patch to measure")


def test_sliders_have_a_reset(widget: NoiserWidget) -> None:
    for name, start in (("brightness", 0.0), ("contrast", 1.0)):
        slider = widget.controls.options[name]
        slider.value = 2.0
        _reset_button(widget, slider).native.click()
        assert slider.value == start


def test_every_control_has_a_tooltip(widget: NoiserWidget) -> None:
    for control in (
        *rows(widget),
        widget.preview.switch,
        *(widget.apply, widget.cancel),
        *(value for value in vars(widget.training).values() if isinstance(value, PushButton)),
        *widget.controls.recipe.fields.values(),
    ):
        assert control.tooltip, control.name


def test_anisotropy_is_said(widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image) -> None:
    viewer.add_layer(dim_stack)
    widget.controls.options["ndim"].value = 3
    assert "4 times the pixel size" in widget.about.stack.value


def test_opening_it_imports_neither_torch_nor_dask() -> None:
    code = (
        "import os, sys; from qtpy.QtWidgets import QApplication; app = QApplication([]);"
        "from napari.components import ViewerModel;"
        "from napari_noiser.plugin.widgets.dock_widget import NoiserWidget;"
        "widget = NoiserWidget(ViewerModel());"
        "found = {'torch', 'dask.array'} & sys.modules.keys();"  # napari has dask itself
        "os._exit(len(found))"  # Qt may crash where Python tears down at random
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def _reset_button(widget: NoiserWidget, slider):
    (found,) = (row for row in rows(widget) if hasattr(row, "__iter__") and slider in list(row))
    return found[1]
