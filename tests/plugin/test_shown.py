"""Layers that are there to be looked at: they come and go beside what is selected."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.layers._layer_actions import _duplicate_layer
from parts import part_of, values

from napari_noiser.plugin.layers.preview_layer import enhanced_layer
from napari_noiser.plugin.widgets.compare_section import CompareSection
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.preview_section import PreviewSection

rng = np.random.default_rng(0)
SECTIONS = pytest.mark.parametrize(
    ("kind", "control", "on", "off"),
    [
        (PreviewSection, "switch", True, False),
        (CompareSection, "choice", "closed form", "all layers"),
    ],
)


@pytest.fixture
def images(viewer: ViewerModel) -> list[Image]:
    """Three images, all selected."""
    data = rng.poisson(4, (3, 5, 40, 50)).astype(np.uint16)
    added = [viewer.add_image(each, name=name) for each, name in zip(data, "abc", strict=True)]
    viewer.layers.selection = set(added)
    return added


@SECTIONS
def test_they_leave_the_selection_alone(
    kind, control: str, on, off, widget: NoiserWidget, viewer: ViewerModel, images, wait_for_run
) -> None:
    control = getattr(part_of(widget, kind), control)
    control.value = on
    wait_for_run()
    assert len(viewer.layers) == 4
    assert viewer.layers.selection == set(images)
    assert len(widget.controls.sources) == 3
    viewer.layers.selection.active = viewer.layers[-1]  # to move its contrast limits
    control.value = off
    assert viewer.layers.selection == set(images)
    viewer.layers.select_previous()  # goes on from one that is there
    assert viewer.layers.selection.active is images[1]


@pytest.mark.parametrize("how", ["removed", "deleted", "replaced"])
def test_the_selection_is_back_however_the_preview_goes(
    how: str, widget: NoiserWidget, viewer: ViewerModel, images, wait_for_run, qtbot
) -> None:
    viewer.layers.selection = {images[0], images[1]}
    part_of(widget, PreviewSection).switch.value = True
    wait_for_run()
    viewer.layers.selection.active = viewer.layers["a [preview]"]
    expected = {images[0], images[1]}
    match how:
        case "removed":
            viewer.layers.remove("a [preview]")
        case "deleted":
            viewer.layers.remove_selected()
        case "replaced":
            viewer.layers.remove("a [preview]")
            expected = {viewer.add_image(np.eye(9))}
    qtbot.wait(20)
    assert viewer.layers.selection == expected


def test_whoever_selects_nothing_is_left_so(
    widget: NoiserWidget, viewer: ViewerModel, images, wait_for_run
) -> None:
    switch = part_of(widget, PreviewSection).switch
    switch.value = True
    wait_for_run()
    viewer.layers.selection.clear()
    switch.value = False
    assert not viewer.layers.selection


@SECTIONS
@pytest.mark.parametrize("multiscale", [False, True])
def test_a_duplicate_keeps_to_what_was_shown(
    kind, control: str, on, off, multiscale: bool, widget, viewer: ViewerModel, wait_for_run, qtbot
) -> None:
    data = rng.poisson(4, (5, 40, 50)).astype(np.uint16)
    viewer.add_image([data, data[:, ::2, ::2]] if multiscale else data, name="a")
    control = getattr(part_of(widget, kind), control)
    control.value = on
    wait_for_run()
    original = viewer.layers[-1]
    before = values(original)
    viewer.layers.selection.active = original
    _duplicate_layer(viewer.layers)
    duplicate = viewer.layers[-1]
    assert duplicate.name == f"{original.name} copy"
    assert enhanced_layer(viewer.layers, "a") is (original if kind is PreviewSection else None)
    widget.controls.options["statistics"].value = "plane"
    qtbot.waitUntil(lambda: not np.allclose(values(original), before))
    control.value = off
    assert original not in viewer.layers
    np.testing.assert_array_equal(values(duplicate), before)
