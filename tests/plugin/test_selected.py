"""Several selected images in one go: the same settings, an exposure of its own for each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager
from parts import part_of

import napari_noiser as noiser
from napari_noiser.plugin.commands import enhance_selected
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import KEEPS, Settings
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.enhance import start_enhancing
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.preview_section import PreviewSection

rng = np.random.default_rng(0)


def dim(shape: tuple[int, ...], light: float) -> np.ndarray:
    return rng.poisson(light, shape).astype(np.uint16) + 100


@pytest.fixture
def images(viewer: ViewerModel) -> list[Image]:
    """A plane, a stack and a color image, all selected, of which the stack was chosen last."""
    added = [
        viewer.add_image(dim((40, 50), 3), name="plane"),
        viewer.add_image(dim((40, 50, 3), 9).astype(np.uint8), rgb=True, name="color"),
        viewer.add_image(dim((3, 40, 50), 30), name="stack"),
    ]
    viewer.layers.selection = set(added)
    return added


def results(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if "napari_noiser" in layer.metadata]


def assert_like(viewer: ViewerModel, image: Image, **options) -> None:
    """Check that an image's result is what the console gives."""
    result = viewer.layers[f"{image.name} (denoised)"]
    expected = noiser.enhance_layer(image, **options)
    np.testing.assert_allclose(np.asarray(result.data), expected.data, rtol=0, atol=1e-6)
    made, wanted = (each.metadata["napari_noiser"] for each in (result, expected))
    assert made["axes"] == wanted["axes"]


def test_the_widget_offers_the_other_selected_images(
    widget: NoiserWidget, viewer: ViewerModel, images: list[Image]
) -> None:
    others = widget.controls.others
    assert widget.controls.image.value is images[0]
    assert (others.visible, others.text) == (True, "and the 2 other selected images")
    viewer.layers.selection.remove(images[2])
    assert (others.visible, others.text) == (True, "and the other selected image")
    viewer.layers.selection.active = images[1]
    assert not others.visible
    viewer.layers.selection = {images[0], viewer.add_points(np.zeros((2, 2)))}
    assert not others.visible


def test_it_opens_with_the_selected_images(viewer: ViewerModel, images, opened) -> None:
    viewer.layers.selection = set(images[1:])
    widget = opened()
    assert [source.name for source in widget.controls.sources] == ["color", "stack"]


def test_apply_enhances_each_by_its_own_moments(
    widget: NoiserWidget, viewer: ViewerModel, images: list[Image], wait_for_run
) -> None:
    widget.controls.options["contrast"].value = 1.5
    widget.apply.native.click()
    wait_for_run()
    assert results(viewer) == ["plane (denoised)", "color (denoised)", "stack (denoised)"]
    for image in images:
        assert_like(viewer, image, contrast=1.5)
    assert widget.status.value == "finished: 3 images"
    assert widget.apply.enabled


@pytest.mark.parametrize("keep", KEEPS)
def test_the_results_are_selected_and_the_sources_stay_offered(
    keep: str, widget: NoiserWidget, viewer: ViewerModel, images, tmp_path: Path, wait_for_run
) -> None:
    widget.controls.keep.value, widget.controls.results_folder.value = keep, tmp_path
    widget.apply.native.click()
    wait_for_run()
    made = {viewer.layers[name] for name in results(viewer)}
    assert len(made) == 3
    assert viewer.layers.selection == made
    assert widget.controls.image.value is images[0]
    assert [source.name for source in widget.controls.sources] == ["plane", "color", "stack"]
    widget.controls.image.value = next(iter(made))  # to enhance the results once more
    assert len(widget.controls.sources) == 3


def test_of_a_run_that_is_canceled_what_there_is(
    widget: NoiserWidget, viewer: ViewerModel, images: list[Image], wait_for_run
) -> None:
    viewer.layers.events.inserted.connect(
        lambda event: widget.cancel.native.click() if len(results(viewer)) == 2 else None
    )
    widget.apply.native.click()
    wait_for_run()
    assert {layer.name for layer in viewer.layers.selection} == set(results(viewer))
    assert 2 <= len(viewer.layers.selection) <= 3


def test_what_is_selected_while_it_runs_stays_so(
    viewer: ViewerModel, images: list[Image], wait_for_run
) -> None:
    def go_elsewhere(enhanced: TaskResult) -> None:
        viewer.layers.selection.active = images[1]

    start_enhancing(viewer, [*map(LayerSnapshot.from_layer, images)], Settings(), go_elsewhere)
    wait_for_run()
    assert set(viewer.layers.selection) == {images[1]}


def test_or_only_the_chosen_one_if_nobody_wants_the_others(
    widget: NoiserWidget, viewer: ViewerModel, images: list[Image], wait_for_run
) -> None:
    widget.controls.others.native.click()
    widget.apply.native.click()
    wait_for_run()
    assert results(viewer) == ["plane (denoised)"]


def test_chosen_axes_hold_for_images_that_look_alike(
    widget: NoiserWidget, viewer: ViewerModel
) -> None:
    data = dim((3, 20, 20), 5)
    first, alike = viewer.add_image(data), viewer.add_image(data)
    labeled = viewer.add_image(data, axis_labels=("c", "y", "x"))
    flat = viewer.add_image(data[0])
    viewer.layers.selection = {first, alike, labeled, flat}
    widget.controls.axes.value = "TYX"
    axes = [source.axes for source in widget.controls.sources]
    assert axes == ["TYX", "TYX", "CYX", "YX"]


def test_cancel_stops_all_that_is_left_and_finished_results_stay(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    added = [viewer.add_image(dim((8, 400, 400), 5), name=f"{n}") for n in range(4)]
    viewer.layers.selection = set(added)
    viewer.layers.events.inserted.connect(lambda event: widget.cancel.native.click())
    widget.apply.native.click()
    wait_for_run()
    assert results(viewer)[0] == "0 (denoised)"
    assert "3 (denoised)" not in results(viewer)
    assert widget.status.value.startswith("canceled")
    assert_like(viewer, added[0])


def test_an_error_names_the_image_and_leaves_what_is_finished(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run, qtbot
) -> None:
    good = viewer.add_image(dim((20, 20), 5), name="good")
    bad = viewer.add_image(np.full((8, 8), np.nan), contrast_limits=(0, 1), name="bad")
    viewer.layers.selection = {good, bad}
    widget.apply.native.click()
    wait_for_run()
    qtbot.wait(50)
    assert results(viewer) == ["good (denoised)"]
    assert widget.status.value.startswith("failed: bad: image has no patch to measure")
    assert "bad: image has no patch" in notification_manager.records[-1].message


def test_what_does_not_fit_is_said_before_any_work(
    widget: NoiserWidget, viewer: ViewerModel, images: list[Image], wait_for_run, qtbot
) -> None:
    widget.controls.image.value = images[2]
    widget.controls.options["ndim"].value = 3
    widget.apply.native.click()
    wait_for_run()
    qtbot.wait(50)
    assert widget.status.value.startswith("failed: plane: axes must have Z")
    assert results(viewer) == []


def test_a_region_is_found_in_each_by_its_place(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    fine = viewer.add_image(dim((40, 60), 5), name="fine", scale=(0.5, 0.5))
    coarse = viewer.add_image(dim((20, 30), 5), name="coarse")
    cell = viewer.add_shapes([np.array([[2, 2], [2, 20], [15, 20], [15, 2]])], name="cell")
    viewer.layers.selection = {fine, coarse}
    widget.controls.region.value = cell
    widget.apply.native.click()
    wait_for_run()
    for image in (fine, coarse):
        assert_like(viewer, image, mask=noiser.region_mask(cell, image))


def test_a_recipe_is_trained_once_for_all(viewer: ViewerModel, wait_for_run) -> None:
    recipe = replace(noiser.RECIPES["noiser"], iterations=4)
    sources = [LayerSnapshot.from_layer(Image(dim((20, 20), 5), name=name)) for name in "ab"]
    trained = []
    start_enhancing(
        viewer, sources, Settings(model=recipe), lambda enhanced: trained.append(enhanced.trained)
    )
    wait_for_run()
    prints = {layer.metadata["napari_noiser"]["fingerprint"] for layer in viewer.layers}
    assert len(viewer.layers) == 2
    assert prints == {trained[0].fingerprint}
    assert trained[1] is None


@pytest.mark.parametrize("keep", KEEPS)
def test_wherever_results_are_kept(
    keep: str, viewer: ViewerModel, images: list[Image], tmp_path: Path, wait_for_run
) -> None:
    sources = [LayerSnapshot.from_layer(each) for each in images]
    start_enhancing(viewer, sources, Settings(keep=keep, results_folder=tmp_path))
    wait_for_run()
    assert results(viewer) == ["plane (denoised)", "color (denoised)", "stack (denoised)"]
    for image in images:
        assert_like(viewer, image)
    assert len(list(tmp_path.iterdir())) == (3 if keep == "disk" else 0)


def test_the_command_takes_all_selected_images(
    viewer: ViewerModel, images: list[Image], wait_for_run
) -> None:
    viewer.layers.selection = {*images, viewer.add_points(np.zeros((2, 2)))}
    enhance_selected(viewer)
    wait_for_run()
    assert results(viewer) == ["plane (denoised)", "color (denoised)", "stack (denoised)"]
    assert {layer.name for layer in viewer.layers.selection} == set(results(viewer))


def test_without_any_image_the_command_says_so(viewer: ViewerModel, wait_for_run) -> None:
    enhance_selected(viewer)
    assert "layer must be an Image layer" in notification_manager.records[-1].message


def test_channels_that_napari_split_are_enhanced_together(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    n_channels = np.stack([dim((3, 20, 30), light) for light in (4, 400)], axis=1)
    split = viewer.add_image(n_channels, channel_axis=1, name=["nuclei", "membranes"])
    viewer.layers.selection = set(split)
    widget.apply.native.click()
    wait_for_run()
    for channel, layer in enumerate(split):
        assert_like(viewer, layer)
        result = viewer.layers[f"{layer.name} (denoised)"]
        together = noiser.enhance(n_channels, axes="ZCYX")[:, channel]
        np.testing.assert_allclose(result.data, together, rtol=0, atol=1e-6)
        assert result.colormap.name == layer.colormap.name


def test_the_command_takes_no_preview(
    widget: NoiserWidget, viewer: ViewerModel, images, wait_for_run
) -> None:
    part_of(widget, PreviewSection).switch.value = True
    wait_for_run()
    preview = viewer.layers["plane [preview]"]
    viewer.layers.selection.active = preview
    for layer in (preview, None):
        enhance_selected(viewer, layer)
        assert "select the image itself" in notification_manager.records[-1].message
    viewer.layers.selection.add(images[1])
    enhance_selected(viewer)
    wait_for_run()
    assert {layer.name for layer in viewer.layers} - {each.name for each in images} == {
        "plane [preview]",
        "color (denoised)",
    }


def test_results_stand_for_their_images_as_long_as_these_are_there(
    widget: NoiserWidget, viewer: ViewerModel, images, wait_for_run
) -> None:
    widget.apply.native.click()
    wait_for_run()
    made = set(viewer.layers.selection)
    viewer.layers.remove(images[1])
    assert [source.name for source in widget.controls.sources] == ["plane", "stack"]
    widget.controls.image.value = viewer.add_image(dim((9, 9), 3), name="another")
    viewer.layers.selection = made
    assert [source.name for source in widget.controls.sources] == ["another"]
