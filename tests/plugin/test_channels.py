"""Channels in one layer are dyes, each enhanced for itself; colors are balanced, or kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from parts import is_there

import napari_noiser as noiser
from napari_noiser._progress import run_with_progress
from napari_noiser.plugin.commands import enhance_selected
from napari_noiser.plugin.layers.preview_layer import closed_form_state
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, axes_choices, guess_axes
from napari_noiser.plugin.results.reapply import provenance_of, settings_from_provenance
from napari_noiser.plugin.results.summary import format_provenance
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.enhance import start_enhancing
from napari_noiser.plugin.tasks.preview_cache import measure
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget

rng = np.random.default_rng(0)
DYES = rng.poisson(np.reshape([3, 30, 300], (3, 1, 1)), (3, 40, 50)).astype(np.uint16)
SERIES = np.stack([np.stack([DYES[:2], DYES[1:]], axis=1)] * 2)  # TCZYX
COLOR = rng.poisson([30, 10, 4], (30, 40, 3)).astype(np.uint8)


def assert_each_dye_alone(result: np.ndarray, n_channels: np.ndarray, axis: int) -> None:
    """Check that each channel is what it would be without the others."""
    for channel in range(n_channels.shape[axis]):
        alone = noiser.enhance(n_channels.take(channel, axis))
        found = np.asarray(result).take(channel, axis)
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "guess"),
    [
        (("c", "y", "x"), "CYX"),
        (("Channel", "Y", "X"), "CYX"),
        (("-3", "-2", "-1"), "ZYX"),
        (("y", "x", "channels"), "YXC"),
    ],
)
def test_axes_of_channels_are_guessed_from_labels_and_offered(labels, guess: str) -> None:
    layer = Image(DYES, axis_labels=labels)
    assert guess_axes(layer) == guess
    assert {"CYX", "YXC"} <= set(axes_choices(layer))


def test_five_axes_without_names_hold_channels() -> None:
    assert guess_axes(Image(SERIES)) == "TCZYX"


def test_the_widget_enhances_each_dye_for_itself(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    viewer.add_image(DYES, name="dyes")
    widget.controls.axes.value = "CYX"
    widget.apply.native.click()
    wait_for_run()
    assert_each_dye_alone(viewer.layers["dyes (denoised)"].data, DYES, 0)


def test_and_so_does_the_command(viewer: ViewerModel, wait_for_run) -> None:
    viewer.add_image(DYES, name="dyes", axis_labels=("channel", "y", "x"))
    viewer.add_image(SERIES, name="series")
    viewer.layers.selection = set(viewer.layers)
    enhance_selected(viewer)
    wait_for_run()
    assert_each_dye_alone(viewer.layers["dyes (denoised)"].data, DYES, 0)
    assert_each_dye_alone(viewer.layers["series (denoised)"].data, SERIES, 1)


@pytest.mark.parametrize(("data", "axes", "axis"), [(DYES, "CYX", 0), (SERIES, "TCZYX", 1)])
def test_and_live_and_the_preview(data: np.ndarray, axes: str, axis: int) -> None:
    assert_each_dye_alone(noiser.live_layer(Image(data), axes=axes).data, data, axis)
    measured = run_with_progress(measure(LayerSnapshot.from_layer(Image(data), axes)), False, "")
    assert_each_dye_alone(measured.render().levels[0], data, axis)


def test_the_choice_of_colors_is_there_for_color_images(
    widget: NoiserWidget, viewer: ViewerModel
) -> None:
    colors = widget.controls.options["colors"]
    assert not is_there(colors)
    viewer.add_image(COLOR, rgb=True)
    assert (is_there(colors), colors.value) == (False, "auto")  # the look decides
    widget.controls.model.value = "noiser"
    assert is_there(colors)
    widget.controls.image.value = viewer.add_image(DYES)
    assert not is_there(colors)
    viewer.layers.selection = set(viewer.layers)  # the color image is enhanced as well
    assert is_there(colors)
    widget.controls.others.value = False
    assert not is_there(colors)


@pytest.mark.parametrize("keep", ["memory", "live", "disk"])
def test_colors_are_kept_as_in_the_console(
    keep: str, widget: NoiserWidget, viewer: ViewerModel, wait_for_run, tmp_path
) -> None:
    viewer.add_image(COLOR, rgb=True, name="photo")
    widget.controls.options["colors"].value = "kept"
    widget.controls.keep.value, widget.controls.results_folder.value = keep, tmp_path
    widget.apply.native.click()
    wait_for_run()
    result = viewer.layers["photo (denoised)"]
    expected = noiser.enhance(COLOR, axes="YXS", colors="kept")
    np.testing.assert_allclose(np.asarray(result.data), expected, rtol=0, atol=1e-6)
    assert result.rgb
    assert "Colors: kept" in format_provenance(result.metadata["napari_noiser"])


def test_the_preview_follows_the_choice(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run, qtbot
) -> None:
    viewer.add_image(COLOR, rgb=True, name="photo")
    widget.controls.model.value = "noiser"
    preview = next(each for each in widget.sections if each.title == "Preview")
    preview.divider = 0.0  # all of it is seen
    preview.switch.value = True
    wait_for_run()
    layer = viewer.layers["photo [preview]"]
    wanted = noiser.enhance(COLOR, "noiser", axes="YXS", colors="kept")
    assert not np.allclose(np.asarray(layer.data), wanted, atol=1e-3)
    widget.controls.options["colors"].value = "kept"
    qtbot.waitUntil(lambda: np.allclose(np.asarray(layer.data), wanted, atol=1e-6), timeout=10_000)


def test_so_does_the_closed_form() -> None:
    source = LayerSnapshot.from_layer(Image(COLOR, rgb=True))
    for colors in ("balanced", "kept"):
        look = run_with_progress(closed_form_state(source, colors, "stack"), False, "")
        expected = noiser.closed_form(COLOR, axes="YXS", colors=colors)
        np.testing.assert_allclose(np.asarray(look.view.levels[0]), expected, atol=1e-6)


def test_a_recipe_for_kept_colors_learns_one_channel(viewer: ViewerModel, wait_for_run) -> None:
    recipe = replace(noiser.RECIPES["p-regression"], iterations=4)
    sources = [LayerSnapshot.from_layer(Image(COLOR, rgb=True))]
    start_enhancing(viewer, sources, Settings(model=recipe, options={"colors": "kept"}))
    wait_for_run()
    assert viewer.layers[0].metadata["napari_noiser"]["samples"] == 1


def test_replay_and_the_script_keep_them_too() -> None:
    photo = Image(COLOR, rgb=True, name="photo")
    result = noiser.enhance_layer(photo, colors="kept")
    np.testing.assert_allclose(noiser.reapply(result, photo).data, result.data, rtol=0, atol=1e-6)
    namespace = {"image": COLOR}
    exec(noiser.as_python(result).replace("image = ...", "image = image"), namespace)
    np.testing.assert_allclose(namespace["result"], result.data, rtol=0, atol=1e-6)


def test_results_of_before_say_nothing_and_are_balanced() -> None:
    photo = Image(COLOR, rgb=True, name="photo")
    result = noiser.enhance_layer(photo)
    del result.metadata["napari_noiser"]["colors"]
    settings = settings_from_provenance(provenance_of(result))
    assert settings.resolved["colors"] == "balanced"
    assert "colors='balanced'" in noiser.as_python(result)
    again = noiser.reapply(result, photo)
    np.testing.assert_allclose(again.data, result.data, rtol=0, atol=1e-6)
