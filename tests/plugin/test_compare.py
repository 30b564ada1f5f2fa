"""Comparing: one switch between source, enhanced and closed form, and all back afterwards."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from parts import part_of

import napari_noiser as noiser
from napari_noiser.plugin.widgets.compare_section import CompareGrid, CompareSection
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget

PLANES = np.random.default_rng(0).poisson(4, (6, 40, 50)).astype(np.uint16) + 100


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    viewer.add_image(PLANES[:, :9, :9], name="another")
    viewer.add_points(np.zeros((1, 3)), name="hidden before", visible=False)
    return viewer


@pytest.fixture
def widget(widget: NoiserWidget, viewer: ViewerModel) -> NoiserWidget:
    widget.controls.image.value = viewer.add_image(PLANES, name="cells")
    return widget


@pytest.fixture
def section(widget: NoiserWidget) -> CompareSection:
    return part_of(widget, CompareSection)


def visible(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.visible]


def test_layers_alone_and_beside_each_other(viewer: ViewerModel) -> None:
    _, hidden = viewer.layers
    one, two = viewer.add_image(PLANES, name="one"), viewer.add_image(PLANES, name="two")
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 11, 13), 3.5
    viewer.canvas.grid.stride = 2
    comparison = CompareGrid(viewer)
    comparison.show([two])
    assert visible(viewer) == ["two"]
    assert not viewer.canvas.grid.enabled
    comparison.show([one, two])
    assert visible(viewer) == ["one", "two"]
    grid = viewer.canvas.grid
    places = [grid.position(viewer.layers.index(each), viewer.layers) for each in (one, two)]
    assert places == [(0, 0), (0, 1)]
    assert grid.actual_shape(viewer.layers) == (1, 2)
    height, width = viewer.canvas.viewbox_size(viewer.layers)
    assert viewer.scene.camera.center == (0, 19.5, 24.5)  # all of both
    assert 0 < viewer.scene.camera.zoom < min(height / 40, width / 50)
    viewer.add_labels(np.zeros((9, 9), int), name="added meanwhile")
    comparison.show([one])
    assert not grid.enabled
    assert (viewer.scene.camera.center, viewer.scene.camera.zoom) == ((0, 11, 13), 3.5)
    comparison.show([one, two])
    comparison.end()
    assert visible(viewer) == ["another", "one", "two", "added meanwhile"]
    assert not hidden.visible
    assert (grid.enabled, grid.stride, grid.shape, grid.spacing) == (False, 2, (-1, -1), 0)


def test_a_grid_that_was_there_comes_back(viewer: ViewerModel) -> None:
    viewer.canvas.grid.enabled = True
    comparison = CompareGrid(viewer)
    comparison.show([viewer.layers[0], viewer.add_image(PLANES)])
    comparison.end()
    assert (viewer.canvas.grid.enabled, viewer.canvas.grid.shape) == (True, (-1, -1))


def test_the_closed_form_is_alone_when_it_comes_first(
    section: CompareSection, viewer: ViewerModel, wait_for_run
) -> None:
    before = visible(viewer)
    section.choice.value = "closed form"
    wait_for_run()
    assert visible(viewer) == ["cells [closed form]"]
    section.choice.value = "all layers"
    assert visible(viewer) == before


def test_the_closed_form_is_made_for_who_changes_his_mind(
    section: CompareSection, viewer: ViewerModel, wait_for_run, qtbot
) -> None:
    for choice in ("closed form", "all layers", "closed form"):
        section.choice.value = choice
    qtbot.waitUntil(lambda: visible(viewer) == ["cells [closed form]"], timeout=60_000)
    section.choice.value = "all layers"
    for choice in ("closed form", "all layers"):
        section.choice.value = choice
    wait_for_run()
    qtbot.wait(50)
    assert "cells [closed form]" not in viewer.layers
    assert section.note.value == ""


def test_what_is_missing_beside_the_others_is_said(
    section: CompareSection, widget: NoiserWidget, wait_for_run
) -> None:
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    section.choice.value = "side by side"
    assert "Nothing is enhanced yet" in section.note.value
    assert "Training structured is still running" in section.note.value
    widget.cancel.native.click()
    wait_for_run()
    section.choice.value = "all layers"
    section.choice.value = "side by side"
    wait_for_run()
    shown, missing = section.note.value.split("\n")
    assert shown == "cells | cells [closed form]"
    assert "Nothing is enhanced yet" in missing


def test_the_switch(
    section: CompareSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    before = visible(viewer)
    section.choice.value = "enhanced"
    assert "Nothing is enhanced yet" in section.note.value
    assert visible(viewer) == before
    widget.apply.native.click()
    wait_for_run()
    assert visible(viewer) == ["cells (denoised)"]
    assert section.note.value == ""
    section.choice.value = "source"
    assert visible(viewer) == ["cells"]
    section.choice.value = "closed form"
    wait_for_run()
    assert visible(viewer) == ["cells [closed form]"]
    section.choice.value = "side by side"
    assert visible(viewer) == ["cells", "cells (denoised)", "cells [closed form]"]
    assert viewer.canvas.grid.actual_shape(viewer.layers) == (1, 3)
    section.choice.value = "all layers"
    assert visible(viewer) == [*before, "cells (denoised)"]
    assert not viewer.canvas.grid.enabled
    assert "cells [closed form]" not in viewer.layers


def test_the_preview_stands_for_the_result(
    section: CompareSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    widget.apply.native.click()
    wait_for_run()
    section.choice.value = "enhanced"
    widget.preview.switch.value = True
    wait_for_run()
    assert visible(viewer) == ["cells [preview]"]
    widget.preview.switch.value = False
    assert visible(viewer) == ["cells (denoised)"]
    section.choice.value = "side by side"
    wait_for_run()
    assert visible(viewer) == ["cells", "cells (denoised)", "cells [closed form]"]
    assert "cells | cells (denoised) | cells [closed form]" in section.note.value


def test_the_closed_form_follows_what_is_enhanced_later(
    section: CompareSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    section.choice.value = "side by side"
    wait_for_run()
    assert visible(viewer) == ["cells", "cells [closed form]"]
    widget.preview.switch.value = True
    wait_for_run()
    assert visible(viewer) == ["cells", "cells [preview]", "cells [closed form]"]
    widget.apply.native.click()
    wait_for_run()
    assert visible(viewer) == ["cells", "cells (denoised)", "cells [closed form]"]


def test_the_closed_form_is_that_of_the_console(
    section: CompareSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    section.choice.value = "closed form"
    wait_for_run()
    layer = viewer.layers["cells [closed form]"]
    for statistics in ("stack", "plane"):
        widget.controls.options["statistics"].value = statistics
        expected = noiser.closed_form(PLANES, statistics=statistics)
        np.testing.assert_allclose(np.asarray(layer.data), expected, rtol=0, atol=1e-6)
    assert layer.metadata["napari_noiser"]["preview"]
    assert layer not in widget.controls.image.choices
    background = np.quantile(expected, 0.5)
    assert 0 < layer.contrast_limits[0] < background < layer.contrast_limits[1] < 1


def test_the_closed_form_of_color(
    section: CompareSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    color = np.random.default_rng(0).integers(0, 40, (30, 40, 3), np.uint8)
    widget.controls.image.value = viewer.add_image(color, name="color", rgb=True)
    section.choice.value = "closed form"
    wait_for_run()
    layer = viewer.layers["color [closed form]"]
    expected = noiser.closed_form(color, axes="YXS")
    np.testing.assert_allclose(np.asarray(layer.data), expected, rtol=0, atol=1e-6)


def test_another_image_ends_it(
    section: CompareSection, widget: NoiserWidget, viewer: ViewerModel
) -> None:
    before = visible(viewer)
    section.choice.value = "source"
    widget.controls.image.value = viewer.layers["another"]
    assert section.choice.value == "all layers"
    assert visible(viewer) == before
    section.choice.value = "source"
    assert visible(viewer) == ["another"]


def test_a_deleted_closed_form_ends_it(
    section: CompareSection, viewer: ViewerModel, wait_for_run
) -> None:
    before = visible(viewer)
    section.choice.value = "closed form"
    wait_for_run()
    viewer.layers.remove("cells [closed form]")
    assert section.choice.value == "all layers"
    assert visible(viewer) == before


def test_other_work_is_waited_for(
    section: CompareSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    section.choice.value = "closed form"
    assert "still running" in section.note.value
    widget.cancel.native.click()
    wait_for_run()


def test_ending_it_while_it_measures_leaves_nothing(
    section: CompareSection, viewer: ViewerModel, wait_for_run
) -> None:
    before = [layer.name for layer in viewer.layers]
    section.choice.value = "closed form"
    section.choice.value = "all layers"
    wait_for_run()
    assert [layer.name for layer in viewer.layers] == before


@pytest.mark.parametrize("how", ["switch", "leave", "close"])
def test_everything_is_put_back_and_let_go_of(
    section: CompareSection, viewer: ViewerModel, wait_for_run, how: str
) -> None:
    before = visible(viewer)
    section.choice.value = "side by side"
    wait_for_run()
    measured = weakref.ref(section._closed.measured)
    match how:
        case "switch":
            section.choice.value = "all layers"
        case "leave":
            section.on_leave()
        case "close":
            section.on_close()
    assert visible(viewer) == before
    assert not viewer.canvas.grid.enabled
    gc.collect()
    assert measured() is None


@pytest.mark.viewer
def test_the_same_camera_sees_them_all_in_a_window(
    make_napari_viewer_proxy, wait_for_run, qtbot
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    left = np.zeros((64, 64), np.uint8)
    left[:, :32] = 200
    viewer.add_image(left, name="cells")
    qtbot.wait(200)
    comparison = CompareGrid(viewer)
    camera = (viewer.scene.camera.center, viewer.scene.camera.zoom)
    other = Image(left.T, name="other")
    viewer.add_layer(other)
    comparison.show(list(viewer.layers))
    qtbot.wait(300)
    shown = viewer.screenshot(flash=False)[..., 0]
    first, second = np.array_split(shown, 2, axis=1)
    assert viewer.scene.camera.center == camera[0]
    assert 0.4 * camera[1] < viewer.scene.camera.zoom < camera[1]  # half of the canvas for each
    rows = [
        half[:, half.shape[1] // 2 - 9 : half.shape[1] // 2 + 9].max(axis=0)
        for half in (first, second)
    ]
    assert rows[0][0] > 150 > rows[0][-1]  # bright on the left, dark on the right of its middle
    assert rows[1].min() > 150  # bright above, dark below
    comparison.end()
    assert (viewer.scene.camera.center, viewer.scene.camera.zoom) == camera
