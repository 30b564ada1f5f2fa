"""The gain map in the widget: chosen, fitted with, applied, previewed, found again by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alike import assert_alike
from napari.components import ViewerModel
from parts import is_there, part_of, values
from scenes import counts, light, untrained
from superqt import QCollapsible

import napari_noiser as noiser
from napari_noiser.plugin.results.reapply import provenance_of
from napari_noiser.plugin.results.summary import format_provenance
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.preview_section import PreviewSection
from napari_noiser.plugin.widgets.provenance_section import ProvenanceSection

TINY = noiser.recipes.BlindSpotRecipe(
    iterations=3, width=4, scales=(4,), crop=64, batch=1, gain="given", jitter=0.0
)
DIM = counts(light()).astype("float32")
FLAT = np.broadcast_to(np.linspace(1, 60, 256), DIM.shape).astype("float32")
OTHER = FLAT[:, ::-1].copy()


@pytest.fixture(scope="module")
def model() -> noiser.recipes.BlindSpotModel:
    return untrained(scales=(4,))


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    for name, data in {"dim": DIM, "flat": FLAT, "other": OTHER}.items():
        viewer.add_image(data, name=name)
    return viewer


@pytest.fixture
def widget(widget: NoiserWidget, viewer: ViewerModel) -> NoiserWidget:
    for box in widget.native.findChildren(QCollapsible):
        box.expand(animate=False)
    widget.controls.image.value = viewer.layers["dim"]
    return widget


@pytest.fixture
def guided(widget: NoiserWidget, model: noiser.recipes.BlindSpotModel, viewer) -> NoiserWidget:
    """The widget, with a model that takes a gain map, and that map."""
    widget.controls.model.add(model, "fitted")
    widget.controls.gain.value = viewer.layers["flat"]
    return widget


def offered(widget: NoiserWidget) -> list[str]:
    box = widget.controls.gain.native
    first, *held = (box.itemText(at) for at in range(box.count()))
    return [first, *sorted(held)]


# the control


def test_other_gray_images_are_offered(widget: NoiserWidget, viewer: ViewerModel) -> None:
    assert offered(widget) == ["none", "flat", "other"]
    viewer.add_image(np.zeros((256, 256, 3), np.uint8), rgb=True, name="color")
    viewer.add_labels(np.zeros((256, 256), int), name="cells")
    widget.controls.image.value = viewer.layers["flat"]
    assert offered(widget) == ["none", "dim", "other"]
    widget.controls.gain.value = viewer.layers["other"]
    viewer.layers["other"].name = "field"
    assert offered(widget) == ["none", "dim", "field"]
    assert widget.controls.gain.value is viewer.layers["field"]
    widget.controls.image.value = viewer.layers["field"]  # not its own gain map
    assert widget.controls.gain.value is None
    widget.controls.gain.value = viewer.layers["dim"]
    viewer.layers.remove("dim")
    assert widget.controls.gain.value is None


def test_it_is_there_where_a_gain_map_is_taken(
    widget: NoiserWidget, model: noiser.recipes.BlindSpotModel
) -> None:
    chosen = widget.controls
    assert not is_there(chosen.gain)
    chosen.method.value = "images"
    assert not is_there(chosen.gain)
    chosen.fit.fields["gain"].value = "given"
    assert is_there(chosen.gain)
    chosen.method.value = "both"  # which finds the gain itself
    assert not is_there(chosen.gain)
    chosen.method.value = "noise"
    chosen.model.add(model, "fitted")
    assert is_there(chosen.gain)
    chosen.method.value = "noise"
    assert is_there(chosen.gain)
    chosen.model.value = "noiser"
    assert not is_there(chosen.gain)
    assert len(chosen.gain.tooltip) > 40


def test_what_is_not_shown_is_not_taken(
    guided: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    guided.controls.model.value = "noiser"
    guided.apply.native.click()
    wait_for_run()
    assert_alike(viewer.layers["dim (brightened)"].data, noiser.enhance(DIM, "noiser"))
    assert "gain_layer" not in provenance_of(viewer.layers["dim (brightened)"])


# fitted with


def test_a_fit_with_a_gain_map_is_applied_with_it(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    chosen, panel = widget.controls, widget.training.fitting
    chosen.method.value = "images"
    chosen.fit.show_recipe(replace(TINY, gain="none"))
    chosen.fit.fields["gain"].value = "given"
    panel.fit.native.click()
    assert widget.status.value.startswith("Choose a gain map")
    chosen.gain.value = viewer.layers["flat"]
    panel.fit.native.click()
    wait_for_run()
    found, expected = chosen.model.value, noiser.fit(DIM, TINY, gain_map=FLAT, device="cpu")
    assert found.recipe == TINY
    for name, weight in expected.weights.items():
        np.testing.assert_allclose(found.weights[name], weight, atol=1e-4)
    assert is_there(chosen.gain)
    chosen.verb.value = "denoise"
    widget.apply.native.click()
    wait_for_run()
    result = viewer.layers["dim (blind spot, counts)"]
    assert_alike(result.data, noiser.denoise(DIM, found, gain_map=FLAT))


def test_one_map_serves_all_images_that_are_fitted_to(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    stacks = [viewer.add_image(np.stack([DIM + at] * 2), name=f"{at}") for at in (0, 1)]
    widget.controls.image.value = stacks[0]
    viewer.layers.selection = {*stacks}
    widget.controls.method.value = "images"
    widget.controls.fit.show_recipe(TINY)
    widget.controls.gain.value = viewer.layers["flat"]
    widget.training.fitting.fit.native.click()
    wait_for_run()
    images = [layer.data for layer in stacks]
    expected = noiser.fit(images, TINY, axes="ZYX", gain_map=[FLAT, FLAT], device="cpu")
    for name, weight in expected.weights.items():
        np.testing.assert_allclose(widget.controls.model.value.weights[name], weight, atol=1e-4)


def test_another_map_is_another_fit(
    widget: NoiserWidget, viewer: ViewerModel, qtbot, wait_for_run
) -> None:
    chosen, panel = widget.controls, widget.training.fitting
    chosen.method.value = "images"
    chosen.fit.show_recipe(replace(TINY, iterations=100_000))
    chosen.gain.value = viewer.layers["flat"]
    panel.fit.native.click()
    qtbot.waitUntil(lambda: ": fit " in widget.status.value, timeout=60_000)
    widget.cancel.native.click()
    wait_for_run()
    assert panel.fit.text == "Go on fitting"
    chosen.gain.value = viewer.layers["other"]
    assert panel.fit.text == "Fit"
    chosen.gain.value = viewer.layers["flat"]
    assert panel.fit.text == "Go on fitting"
    viewer.layers["flat"].data = OTHER
    panel.show_state()
    assert panel.fit.text == "Fit"


# applied


@pytest.mark.parametrize("keep", ["memory", "live", "disk"])
def test_the_result_is_that_of_the_console(
    guided: NoiserWidget,
    viewer: ViewerModel,
    model: noiser.recipes.BlindSpotModel,
    wait_for_run,
    tmp_path: Path,
    keep: str,
) -> None:
    guided.controls.keep.value, guided.controls.results_folder.value = keep, tmp_path
    guided.apply.native.click()
    wait_for_run()
    result = viewer.layers[-1]
    expected = noiser.enhance(DIM, model, gain_map=FLAT)
    assert_alike(values(result), expected)
    assert np.abs(expected - noiser.enhance(DIM, model, gain_map=OTHER)).max() > 0.05
    made = provenance_of(result)
    assert made["gain_layer"] == "flat"
    by_array = noiser.enhance_layer(viewer.layers["dim"], model, gain_map=FLAT)
    assert made["gain_map"] == provenance_of(by_array)["gain_map"]
    assert "gain_layer" not in provenance_of(by_array)
    viewer.layers["flat"].name = "field"
    guided.apply.native.click()
    wait_for_run()
    assert provenance_of(viewer.layers[-1])["gain_layer"] == "field"


def test_a_plane_serves_a_stack_and_all_images_that_are_selected(
    guided: NoiserWidget, viewer: ViewerModel, model: noiser.recipes.BlindSpotModel, wait_for_run
) -> None:
    stack = viewer.add_image(np.stack([DIM, DIM[::-1]]), name="stack")
    viewer.layers.selection = {stack, viewer.layers["dim"]}
    guided.controls.image.value = stack
    guided.controls.gain.value = viewer.layers["flat"]
    guided.apply.native.click()
    wait_for_run()
    for name in ("stack", "dim"):
        expected = noiser.enhance(viewer.layers[name].data, model, gain_map=FLAT)
        assert_alike(viewer.layers[f"{name} (blind spot)"].data, expected)


# previewed


def test_the_preview_follows_the_map(
    guided: NoiserWidget,
    viewer: ViewerModel,
    model: noiser.recipes.BlindSpotModel,
    qtbot,
    wait_for_run,
) -> None:
    preview = part_of(guided, PreviewSection)
    preview.divider = 0.0  # all of it is seen
    preview.switch.value = True
    wait_for_run()
    shown = viewer.layers["dim [preview]"]
    assert_alike(np.asarray(shown.data), noiser.enhance(DIM, model, gain_map=FLAT))
    assert offered(guided) == ["none", "flat", "other"]
    guided.controls.options["brightness"].value = 0.3
    preview._render()
    expected = noiser.enhance_layer(viewer.layers["dim"], model, gain_map=FLAT, brightness=0.3)
    assert_alike(np.asarray(shown.data), expected.data)
    assert shown.metadata["napari_noiser"]["gain_map"] == provenance_of(expected)["gain_map"]
    guided.controls.gain.value = viewer.layers["other"]
    wait_for_run()
    other = noiser.enhance(DIM, model, gain_map=OTHER, brightness=0.3)
    assert_alike(np.asarray(viewer.layers["dim [preview]"].data), other)
    viewer.layers["other"].data = FLAT * 2
    qtbot.waitUntil(lambda: preview._task is not None, timeout=5_000)
    wait_for_run()
    doubled = noiser.enhance(DIM, model, gain_map=FLAT * 2, brightness=0.3)
    assert_alike(np.asarray(viewer.layers["dim [preview]"].data), doubled)
    guided.apply.native.click()
    wait_for_run()
    assert not preview.switch.value  # the result is the same
    preview.divider = 0.0  # all of it is seen
    preview.switch.value = True
    wait_for_run()
    viewer.layers.remove("other")
    assert not preview.switch.value
    assert preview.note.value.startswith("Choose a gain map")


def test_the_preview_measures_anew_for_a_model_that_takes_a_map(
    widget: NoiserWidget, viewer: ViewerModel, model: noiser.recipes.BlindSpotModel, wait_for_run
) -> None:
    preview = part_of(widget, PreviewSection)
    widget.controls.gain.value = viewer.layers["flat"]
    for chosen in ("structured", model, "noiser"):
        if chosen is model:
            widget.controls.model.add(model, "fitted")
        else:
            widget.controls.model.value = chosen
        preview.divider = 0.0  # all of it is seen
        preview.switch.value = True
        wait_for_run()
        preview._render()
        assert preview.note.value == ""
        gain = FLAT if chosen is model else None
        shown = np.asarray(viewer.layers["dim [preview]"].data)
        assert_alike(shown, noiser.enhance(DIM, chosen, gain_map=gain))


# what cannot be


def test_without_a_map_that_fits_nothing_begins(
    guided: NoiserWidget, viewer: ViewerModel, model: noiser.recipes.BlindSpotModel, wait_for_run
) -> None:
    chosen, preview = guided.controls, part_of(guided, PreviewSection)
    half = viewer.add_image(FLAT[:100], name="half")
    viewer.add_layer(noiser.enhance_layer(viewer.layers["dim"], model, gain_map=FLAT))
    for held, said in (
        (None, "Choose a gain map"),
        (half, "gain map 'half' for 'dim' must have the image's shape without S, (256, 256)"),
    ):
        chosen.gain.value = held
        guided.apply.native.click()
        assert guided.status.value.startswith(said)
        preview.divider = 0.0  # all of it is seen
        preview.switch.value = True
        assert preview.note.value.startswith(said)
        assert not preview.switch.value
        chosen.fit.show_recipe(TINY)
        chosen.method.value = "images"
        guided.training.fitting.fit.native.click()
        assert guided.status.value.startswith(said)
    viewer.layers["flat"].data = FLAT - 1
    chosen.gain.value = viewer.layers["flat"]
    guided.apply.native.click()
    wait_for_run()
    assert guided.status.value == "failed: gain map must be finite and above 0 throughout"


# made again


def test_it_is_told_and_found_again_by_its_name(
    guided: NoiserWidget, viewer: ViewerModel, model: noiser.recipes.BlindSpotModel, wait_for_run
) -> None:
    guided.apply.native.click()
    wait_for_run()
    result = viewer.layers["dim (blind spot)"]
    made = provenance_of(result)
    assert f"\nGain map: 'flat', {made['gain_map']}\n" in format_provenance(made)
    lines = noiser.as_python(result).splitlines()
    at = lines.index(
        f"gain_map = ...  # how much pixels are amplified; fingerprint {made['gain_map']!r}"
    )
    assert lines[at + 1] == "# In napari: gain_map = viewer.layers['flat'].data"
    second = viewer.add_image(DIM[::-1], name="second")
    with pytest.raises(
        ValueError, match=rf"gain map \('flat', {made['gain_map']}\): pass gain_map="
    ):
        noiser.reapply(result, second, model=model)
    again = noiser.reapply(result, second, model=model, gain_map=viewer.layers["flat"])
    assert_alike(again.data, noiser.enhance(DIM[::-1], model, gain_map=FLAT))
    assert provenance_of(again)["gain_layer"] == "flat"
    repeat = part_of(guided, ProvenanceSection)
    guided.controls.image.value, guided.controls.gain.value = second, None
    guided.controls.model.value = "noiser"
    viewer.layers.selection.active = result
    repeat.apply.native.click()
    wait_for_run()
    assert (repeat.note.value, guided.status.value) == ("", "finished: enhancing second")
    assert_alike(viewer.layers["second (blind spot)"].data, again.data)
    viewer.layers.selection.active = result
    viewer.layers["flat"].data = FLAT[:100]
    repeat.apply.native.click()
    assert repeat.note.value.startswith("gain map 'flat' for 'second' must have")
    viewer.layers.remove("flat")
    repeat.apply.native.click()
    assert repeat.note.value.startswith("the gain map 'flat' is not among the layers: open it")
    by_hand = noiser.enhance_layer(viewer.layers["dim"], model, gain_map=FLAT)
    viewer.layers.selection.active = viewer.add_layer(by_hand)
    repeat.apply.native.click()
    assert repeat.note.value.startswith(f"the gain map {made['gain_map']} is not among the layers")
