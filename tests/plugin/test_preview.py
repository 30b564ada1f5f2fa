"""The preview: what Apply would make, while one moves the sliders."""

from __future__ import annotations

import gc
import time
import weakref
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.settings import get_settings
from parts import part_of
from watched import Watched

import napari_noiser as noiser
from napari_noiser.plugin.layers.preview_layer import newest_result
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.preview_section import PreviewSection

rng = np.random.default_rng(0)
PLANES = rng.poisson(np.linspace(2, 9, 12)[:, None, None], (12, 40, 50)).astype(np.uint16) + 100


@pytest.fixture
def section(widget: NoiserWidget) -> PreviewSection:
    return part_of(widget, PreviewSection)


@pytest.fixture
def preview(section: PreviewSection, viewer: ViewerModel, wait_for_run):
    """Return a function that shows an image's preview."""

    def show(image: Image) -> Image:
        viewer.add_layer(image)
        section.divider = 0.0  # all of it is seen
        section.switch.value = True
        wait_for_run()
        return viewer.layers[f"{image.name} [preview]"]

    return show


def in_view(layer: Image) -> np.ndarray:
    """Return the values of all pixels that a layer shows, NaN for those still to come."""
    *outer, height, width = layer.data.shape
    found = [layer.get_value((*outer, *at)) for at in np.ndindex(height, width)]
    return np.reshape(np.array(found, float), (height, width))


def test_it_follows_the_controls_without_reading_again(
    preview, widget: NoiserWidget, viewer: ViewerModel, qtbot
) -> None:
    watched = Watched(PLANES)
    widget.controls.model.value = "noiser"  # which needs no camera's noise, as noiser-es
    layer = preview(Image(watched, name="cells", contrast_limits=(100, 120)))
    controls, expected = widget.controls, {"model": "noiser"}
    viewer.dims.set_current_step(0, 7)
    in_view(layer)
    qtbot.waitUntil(lambda: widget.about.noise.value != "", timeout=60_000)  # which is read for
    watched.read.clear()

    for name, value in (
        ("brightness", 0.5),
        ("contrast", 2.0),
        ("model", "noiser-es"),
        ("statistics", "plane"),
    ):
        before = in_view(layer)
        {"model": controls.model, **controls.options}[name].value = expected[name] = value
        after = noiser.enhance(PLANES, **expected)[7]
        qtbot.waitUntil(lambda e=after: np.allclose(in_view(layer), e, atol=1e-6), timeout=60_000)
        assert not np.allclose(before, in_view(layer), atol=1e-3)
    assert not watched.read
    viewer.dims.set_current_step(0, 2)
    np.testing.assert_allclose(
        in_view(layer), noiser.enhance(PLANES, **expected)[2], rtol=0, atol=1e-6
    )
    assert watched.read.keys() == {2}


def test_the_divider_between_before_and_after_is_dragged(
    preview, section: PreviewSection, viewer: ViewerModel
) -> None:
    others = len(viewer.mouse_drag_callbacks)
    layer = preview(Image(PLANES, name="cells", contrast_limits=(100, 120), gamma=0.5))
    layer.contrast_limits = (0.2, 0.9)
    after = np.asarray(layer.data[3])
    black, white = layer.contrast_limits
    seen = ((PLANES[3] - 100.0) / 20).clip(0, 1) ** (0.5 / layer.gamma)
    before = black + (white - black) * seen

    def drag(start: float, end: float) -> bool:
        """Drag the mouse along a row, and return whether the view may be panned meanwhile."""
        event = SimpleNamespace(type="mouse_press", position=(3, 20, start))
        dragged = viewer.mouse_drag_callbacks[-1](viewer, event)
        next(dragged, None)
        panned = viewer.scene.camera.mouse_pan
        for event.type, column in (("mouse_move", (start + end) / 2), ("mouse_move", end)):
            event.position = (3, 20, column)
            next(dragged, None)
        event.type = "mouse_release"
        next(dragged, None)
        assert viewer.scene.camera.mouse_pan
        return panned

    assert not drag(0, 30)
    shown = np.asarray(layer.data[3])
    np.testing.assert_allclose(shown[:, :29], before[:, :29], rtol=0, atol=1e-5)
    np.testing.assert_allclose(shown[:, 29], white)  # the line
    np.testing.assert_array_equal(shown[:, 30:], after[:, 30:])
    assert drag(3, 12)  # not at the line
    np.testing.assert_array_equal(np.asarray(layer.data[3]), shown)
    drag(30, 90)
    np.testing.assert_allclose(np.asarray(layer.data[3])[:, :49], before[:, :49], atol=1e-5)
    section.switch.value = False
    assert len(viewer.mouse_drag_callbacks) == others
    assert section.divider == 1.0  # where it was left


def test_it_equals_the_result_and_gives_way_to_it(
    preview,
    section: PreviewSection,
    widget: NoiserWidget,
    viewer: ViewerModel,
    wait_for_run,
    qtbot,
) -> None:
    layer = preview(Image(PLANES, name="cells"))
    widget.controls.options["contrast"].value = 1.7
    widget.controls.options["dtype"].value = "uint16"
    qtbot.waitUntil(lambda: layer.metadata["napari_noiser"]["contrast"] == 1.7)
    shown = in_view(layer)
    layer.contrast_limits = (0.25, 0.75)
    widget.apply.native.click()
    wait_for_run()
    assert [each.name for each in viewer.layers] == ["cells", "cells (denoised)"]
    assert not section.switch.value
    result = viewer.layers["cells (denoised)"]
    np.testing.assert_allclose(in_view(result) / 65535, shown, rtol=0, atol=1e-5)
    np.testing.assert_allclose(result.contrast_limits, (0.25 * 65535, 0.75 * 65535))
    assert "preview" not in result.metadata["napari_noiser"]


def test_it_is_marked_and_no_image_to_enhance(preview, widget: NoiserWidget, dim_stack) -> None:
    layer = preview(dim_stack)
    made = layer.metadata["napari_noiser"]
    assert (made["preview"], made["source"]) == (True, "cells")
    assert made["recipe"]["name"] == "structured"
    assert layer.metadata["microscope"] == {"objective": "40x"}
    assert widget.controls.image.choices == (dim_stack,)
    np.testing.assert_array_equal(layer.scale, dim_stack.scale)
    assert (layer.units, layer.axis_labels) == (dim_stack.units, dim_stack.axis_labels)


def test_volumes_are_measured_anew(
    preview, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    preview(Image(PLANES, name="cells"))
    widget.controls.options["ndim"].value = 3
    wait_for_run()
    layer = viewer.layers["cells [preview]"]
    expected = noiser.enhance(PLANES, ndim=3)[viewer.dims.current_step[0]]
    np.testing.assert_allclose(in_view(layer), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("banding", ["rows", "columns", "both"])
@pytest.mark.parametrize("verb", ["enhance", "denoise"])
def test_banding_is_taken_out(
    banding: str, verb: str, preview, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    lines = rng.normal(0, 8, (40, 1)) if banding == "rows" else rng.normal(0, 8, (1, 50))
    image = (PLANES[:4] + 100 + lines).round().astype(np.uint16)
    widget.controls.verb.value = verb
    widget.controls.options["banding"].value = banding
    layer = preview(Image(image, name="cells"))
    options = {"banding": banding, "camera": "auto"}
    expected = getattr(noiser, verb)(image, **options)[viewer.dims.current_step[0]]
    np.testing.assert_allclose(in_view(layer), expected, rtol=1e-5, atol=1e-5)
    made = layer.metadata["napari_noiser"]
    assert made["banding"] == banding
    applied = getattr(noiser, f"{verb}_layer")(Image(image), **options)
    found = applied.metadata["napari_noiser"]["banding_removed"]
    assert made["banding_removed"] == found


def test_other_axes_while_it_measures_begin_again(
    section: PreviewSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    viewer.add_image(PLANES, name="cells")
    section.switch.value = True
    widget.controls.axes.value = "CYX"
    wait_for_run()
    layer = viewer.layers["cells [preview]"]
    assert layer.metadata["napari_noiser"]["axes"] == "CYX"
    assert section.switch.value


def test_all_levels_and_the_region_are_shown(preview, widget: NoiserWidget, viewer) -> None:
    image = PLANES[:, :40, :48]
    mask = np.zeros((40, 48), bool)
    mask[5:30, 8:40] = True
    labels = viewer.add_labels(mask.astype(int))
    viewer.layers.move(0, 0)
    widget.controls.region.value = labels
    levels = [image, image[:, ::2, ::2]]
    layer = preview(Image(levels, multiscale=True, name="levels", contrast_limits=(100, 120)))
    assert layer.multiscale
    for found, level, step in zip(layer.data, levels, (1, 2), strict=True):
        expected = noiser.enhance(level, mask=mask[::step, ::step])
        np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=1e-6)


def test_what_is_painted_meanwhile_is_followed(
    preview, section: PreviewSection, widget: NoiserWidget, viewer: ViewerModel, qtbot
) -> None:
    image = Watched(PLANES)
    marked = np.zeros(PLANES.shape, int)
    marked[:, 5:30, 25:45] = 1
    labels = viewer.add_labels(marked, name="cells")
    widget.controls.region.value = labels
    layer = preview(Image(image, name="image", contrast_limits=(100, 120)))
    viewer.layers.selection.active = labels
    layer.contrast_limits = (0.2, 0.9)
    image.read.clear()
    at = viewer.dims.current_step[0]

    def expected() -> np.ndarray:
        return noiser.enhance(PLANES, mask=labels.data != 0)[at]

    np.testing.assert_allclose(in_view(layer), expected(), rtol=1e-5, atol=1e-6)
    for row in range(0, 40, 8):
        labels.paint((at, row, 20), 1)
        qtbot.wait(10)
    assert not image.read  # one paints still
    painted = expected()
    qtbot.waitUntil(lambda: np.allclose(in_view(layer), painted, atol=1e-6), timeout=60_000)
    assert layer in viewer.layers
    assert viewer.layers.selection.active is labels
    assert layer.contrast_limits == [0.2, 0.9]
    labels.data = np.zeros_like(labels.data)
    qtbot.waitUntil(lambda: "is empty: paint on it" in section.note.value)
    assert "still shows the last choice" in section.note.value
    assert layer in viewer.layers


def test_what_is_drawn_meanwhile_is_followed(
    preview, widget: NoiserWidget, viewer: ViewerModel, qtbot
) -> None:
    box = np.array([[0, 0], [0, 20], [15, 20], [15, 0]])
    shapes = viewer.add_shapes(box, shape_type="rectangle")
    widget.controls.leave_out.value = shapes
    layer = preview(Image(PLANES, name="image"))
    before = in_view(layer)
    shapes.translate = (20, 20)
    qtbot.waitUntil(lambda: not np.allclose(in_view(layer), before, atol=1e-5), timeout=60_000)
    shapes.data = [box + 5]
    expected = np.ones((40, 50), bool)
    expected[25:41, 25:46] = False
    expected = noiser.enhance(PLANES, mask=expected)[viewer.dims.current_step[0]]
    qtbot.waitUntil(lambda: np.allclose(in_view(layer), expected, atol=1e-6), timeout=60_000)


def test_thick_slices_and_dask(preview, viewer: ViewerModel) -> None:
    lazy = da.from_array(PLANES, (4, 20, 50))
    layer = preview(Image(lazy, name="lazy", contrast_limits=(100, 120), projection_mode="mean"))
    viewer.dims.set_current_step(0, 5)
    viewer.dims.thickness = (4, 0, 0)
    expected = noiser.enhance(PLANES)[3:8].mean(axis=0)
    np.testing.assert_allclose(in_view(layer), expected, rtol=0, atol=1e-5)


def test_what_has_to_be_trained_is_said(
    preview, section: PreviewSection, widget: NoiserWidget, qtbot
) -> None:
    widget.controls.model.value = "noiser"
    layer = preview(Image(PLANES, name="cells"))
    widget.controls.model.value = "p-regression"
    qtbot.waitUntil(lambda: "p-regression has to be trained first" in section.note.value)
    assert layer.metadata["napari_noiser"]["recipe"]["name"] == "noiser"
    widget.controls.model.value = "noiser-es"
    qtbot.waitUntil(lambda: layer.metadata["napari_noiser"]["recipe"]["name"] == "noiser-es")
    assert section.note.value == ""


def test_other_work_is_waited_for(
    section: PreviewSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    section.switch.value = True
    assert "Open an image first" in section.note.value
    viewer.add_image(PLANES, name="cells")
    widget.controls.recipe.fields["iterations"].value = "100000"
    widget.training.train.native.click()
    section.switch.value = True
    assert not section.switch.value
    assert "still running" in section.note.value
    widget.cancel.native.click()
    wait_for_run()


def test_a_failure_switches_it_off(section: PreviewSection, viewer: ViewerModel, qtbot) -> None:
    viewer.add_image(np.full((8, 8), np.nan), contrast_limits=(0, 1))
    section.switch.value = True
    qtbot.waitUntil(lambda: not section.switch.value, timeout=60_000)
    assert "no patch to measure" in section.note.value
    assert len(viewer.layers) == 1


def test_switching_off_while_it_measures_stops(
    section: PreviewSection, viewer: ViewerModel, wait_for_run, monkeypatch
) -> None:
    slow = Watched(np.repeat(PLANES, 20, axis=0))
    viewer.add_image(slow, name="slow", contrast_limits=(100, 120))
    read = Watched.__getitem__
    monkeypatch.setattr(Watched, "__getitem__", lambda *both: time.sleep(0.01) or read(*both))
    section.switch.value = True
    section.switch.value = False
    wait_for_run()
    assert len(slow.read) < 200
    assert len(viewer.layers) == 1
    assert section.note.value == ""


def test_a_preview_is_not_taken_for_a_result(
    section: PreviewSection, widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    viewer.add_image(PLANES, name="cells")
    widget.apply.native.click()
    wait_for_run()
    section.switch.value = True
    wait_for_run()
    assert viewer.layers[-1].name == "cells [preview]"
    assert newest_result(viewer.layers, "cells").name == "cells (denoised)"
    assert newest_result(viewer.layers, "another") is None


@pytest.mark.parametrize("how", ["switch", "image", "delete", "data", "close"])
def test_everything_is_let_go_of(
    preview, section: PreviewSection, widget: NoiserWidget, viewer: ViewerModel, how: str, qtbot
) -> None:
    image = Image(PLANES, name="cells")
    preview(image)
    measured = weakref.ref(section._shown.measured)
    widget.controls.options["brightness"].value = 1.0  # is still to come
    match how:
        case "switch":
            section.switch.value = False
        case "image":
            widget.controls.image.value = viewer.add_image(PLANES[0])
        case "delete":
            viewer.layers.remove("cells [preview]")
        case "data":
            viewer.layers.remove(image)
        case "close":
            section.on_close()
    assert "cells [preview]" not in viewer.layers
    qtbot.wait(100)
    gc.collect()
    assert measured() is None


def test_another_image_in_the_layer_is_measured(
    preview, viewer: ViewerModel, wait_for_run
) -> None:
    image = Image(PLANES, name="cells")
    preview(image)
    image.data = PLANES[::-1, ::-1]
    wait_for_run()
    viewer.dims.set_current_step(0, 3)
    expected = noiser.enhance(PLANES[::-1, ::-1])[3]
    np.testing.assert_allclose(
        in_view(viewer.layers["cells [preview]"]), expected, rtol=0, atol=1e-6
    )


@pytest.mark.viewer
def test_in_a_window_with_and_without_asynchronous_slicing(
    make_napari_viewer_proxy, wait_for_run, qtbot
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(PLANES, name="cells")
    widget = NoiserWidget(viewer)
    viewer.window.add_dock_widget(widget)
    section = part_of(widget, PreviewSection)
    section.divider = 0.0
    choices = ((2, 0.5), (9, -0.5))
    expected = [noiser.enhance(PLANES, brightness=brightness)[at] for at, brightness in choices]
    for asynchronous in (False, True):
        get_settings().experimental.async_ = asynchronous
        section.switch.value = True
        wait_for_run()
        layer = viewer.layers["cells [preview]"]
        for (at, brightness), after in zip(choices, expected, strict=True):
            viewer.dims.set_current_step(0, at)
            widget.controls.options["brightness"].value = brightness
            qtbot.waitUntil(lambda e=after, la=layer: np.allclose(in_view(la), e, atol=1e-6))
        section.switch.value = False
    get_settings().experimental.async_ = False


@pytest.mark.viewer
@pytest.mark.parametrize("measuring", [True, False])
def test_closing_the_dock_takes_it_away(
    make_napari_viewer_proxy, wait_for_run, qtbot, measuring: bool
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(PLANES, name="cells")
    widget = NoiserWidget(viewer)
    dock = viewer.window.add_dock_widget(widget)
    widget.preview.switch.value = True
    if not measuring:
        wait_for_run()
    viewer.window.remove_dock_widget(dock)
    wait_for_run()
    qtbot.waitUntil(lambda: [each.name for each in viewer.layers] == ["cells"])


@pytest.mark.viewer
def test_closing_napari_while_it_shows(make_napari_viewer_proxy, wait_for_run, qtbot) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(PLANES, name="cells")
    widget = NoiserWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.preview.switch.value = True
    wait_for_run()
    viewer.close()
    qtbot.wait(100)
    assert BackgroundTask.current is None
