"""The whole path in a real napari window: sample, train, apply, cancel, menus, closing."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.samples import shrink_samples
from napari import Viewer
from napari.layers import Image

from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget

pytestmark = pytest.mark.viewer

TITLES = ("Enhance with noise self-regression", "Noise self-regression, with options")
ENHANCE, OPEN = "napari-noiser.enhance", "napari-noiser.open"


@pytest.fixture
def viewer(make_napari_viewer_proxy, wait_for_run) -> Viewer:
    """A shown window, with this plugin as it is installed."""
    import npe2

    manager = npe2.PluginManager.instance()
    if "napari-noiser" not in manager:
        manager.register(npe2.PluginManifest.from_distribution("napari-noiser"))
    return make_napari_viewer_proxy(show=True)


@pytest.fixture
def widget(viewer: Viewer, monkeypatch) -> NoiserWidget:
    shrink_samples(monkeypatch)
    viewer.open_sample("napari-noiser", "fluorescence")
    _, widget = viewer.window.add_plugin_dock_widget("napari-noiser", "Noise self-regression")
    return widget


def test_sample_train_apply_screenshot(
    viewer: Viewer, widget: NoiserWidget, wait_for_run, qtbot
) -> None:
    assert widget.controls.image.value.name == "Dim nuclei"
    widget.controls.recipe.fields["iterations"].value = "5"
    widget.training.train.native.click()
    wait_for_run()
    widget.apply.native.click()
    wait_for_run()
    result, source = viewer.layers["Dim nuclei (denoised)"], viewer.layers["Dim nuclei"]
    assert result.metadata["napari_noiser"]["recipe"]["iterations"] == 5
    assert result.metadata["napari_noiser"]["source"] == "Dim nuclei"
    np.testing.assert_array_equal(result.scale, source.scale)
    assert result.units == source.units
    assert tuple(result.axis_labels) == ("z", "y", "x")
    assert viewer.layers.selection.active == result
    qtbot.wait(200)
    shown = viewer.screenshot(canvas_only=True, flash=False)[..., :3]
    assert shown.std() > 20
    assert len(np.unique(shown)) > 50


def test_all_new_results_are_selected(viewer: Viewer, widget: NoiserWidget, wait_for_run) -> None:
    images = viewer.layers["Dim nuclei"], viewer.add_image(np.eye(32), name="eye")
    viewer.layers.selection = {*images}
    widget.apply.native.click()
    wait_for_run()
    made = {"Dim nuclei (denoised)", "eye (denoised)"}
    assert {layer.name for layer in viewer.layers.selection} == made
    assert widget.controls.image.value.name == "Dim nuclei"
    assert widget.controls.others.text == "and the other selected image"


def test_cancel_in_the_middle(viewer: Viewer, widget: NoiserWidget, wait_for_run, qtbot) -> None:
    before = list(viewer.layers)
    widget.controls.options["ndim"].value = 3
    widget.apply.native.click()
    qtbot.waitUntil(lambda: "of" in widget.status.value, timeout=60_000)
    widget.cancel.native.click()
    wait_for_run()
    assert widget.status.value.startswith("canceled")
    assert list(viewer.layers) == before
    widget.controls.options["ndim"].value = 2
    widget.apply.native.click()
    wait_for_run()
    assert len(viewer.layers) == len(before) + 1


def test_commands_are_enabled_for_images_only(viewer: Viewer, qtbot) -> None:
    viewer.add_image(np.random.default_rng(0).random((32, 32)), name="dim")
    assert _enabled(viewer) == [True, True]
    viewer.add_points(np.zeros((2, 2)))
    assert _enabled(viewer) == [False, False]


def test_the_command_takes_all_images_that_are_selected(viewer: Viewer, wait_for_run) -> None:
    from napari._app_model import get_app_model

    for name in "ab":
        viewer.add_image(np.random.default_rng(0).random((64, 64)), name=name)
    viewer.layers.selection = set(viewer.layers)
    assert _enabled(viewer) == [True, True]
    get_app_model().commands.execute_command(ENHANCE).result()
    wait_for_run()
    assert [layer.name for layer in viewer.layers] == [
        "a",
        "b",
        "a (denoised)",
        "b (denoised)",
    ]


def test_the_command_enhances_without_a_dialog(viewer: Viewer, wait_for_run) -> None:
    from napari._app_model import get_app_model

    viewer.add_image(np.random.default_rng(0).random((64, 64)), name="dim")
    get_app_model().commands.execute_command(ENHANCE).result()
    wait_for_run()
    assert isinstance(viewer.layers["dim (denoised)"], Image)
    viewer.add_points(np.zeros((2, 2)))
    get_app_model().commands.execute_command(ENHANCE).result()
    assert BackgroundTask.current is None


def test_the_other_command_opens_the_widget(viewer: Viewer) -> None:
    from napari._app_model import get_app_model

    viewer.add_image(np.zeros((8, 8)))
    get_app_model().commands.execute_command(OPEN).result()
    assert any("Noise self-regression" in name for name in viewer.window.dock_widgets)


def test_closing_the_widget_while_it_trains_cancels(
    viewer: Viewer, widget: NoiserWidget, wait_for_run, qtbot
) -> None:
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    qtbot.waitUntil(lambda: "train" in widget.status.value, timeout=60_000)
    viewer.window.remove_dock_widget("all")
    qtbot.wait(100)
    wait_for_run()


def test_closing_napari_while_it_trains(viewer: Viewer, widget: NoiserWidget, qtbot) -> None:
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    qtbot.waitUntil(lambda: "train" in widget.status.value, timeout=60_000)
    viewer.close()
    qtbot.waitUntil(lambda: BackgroundTask.current is None, timeout=60_000)


def _enabled(viewer: Viewer) -> list[bool]:
    """Return whether the actions in Layers > Filter can be clicked, enhance first."""
    menu = viewer.window.layers_menu
    menu.aboutToShow.emit()
    (submenu,) = (action.menu() for action in menu.actions() if action.text() == "Filter")
    submenu.aboutToShow.emit()
    enabled = {action.text(): action.isEnabled() for action in submenu.actions()}
    return [enabled[f"{title} (napari-noiser)"] for title in TITLES]
