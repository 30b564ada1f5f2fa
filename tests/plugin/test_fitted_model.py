"""A model that was fitted to images, in the list: kept, previewed and applied as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from alike import assert_alike
from napari.components import ViewerModel
from parts import is_there, labels, part_of
from qtpy.QtWidgets import QFileDialog, QInputDialog
from scenes import counts, light

import napari_noiser as noiser
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.plots_section import PlotsSection
from napari_noiser.plugin.widgets.preview_section import PreviewSection

TINY = noiser.recipes.BlindSpotRecipe(iterations=3, width=4, scales=(4,), crop=64, batch=1)
DIM = counts(light()).astype("float32")
NO_CAMERA = np.random.default_rng(0).normal(np.arange(256.0), np.linspace(9, 1, 256), (256, 256))


@pytest.fixture(scope="module")
def fitted() -> noiser.recipes.BlindSpotModel:
    return noiser.fit(DIM, TINY, device="cpu")


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    viewer.add_image(DIM, name="dim")
    return viewer


def test_renamed_saved_loaded_and_removed(
    widget: NoiserWidget,
    viewer: ViewerModel,
    fitted: noiser.recipes.BlindSpotModel,
    opened,
    monkeypatch,
    tmp_path: Path,
) -> None:
    section, models = widget.training, widget.controls.model
    models.add(fitted, "fitted to dim")
    models.add(noiser.fit(DIM, TINY, device="cpu"), "fitted again")
    assert len(models.models) == 1
    monkeypatch.setattr(QInputDialog, "getText", lambda *args, **options: ("mine", True))
    section.rename.native.click()
    assert labels(widget)[-1] == "mine (fitted again, gray, 2-D)"
    assert widget.controls.fit.recipe_for("images").name == "mine"
    monkeypatch.setattr(
        QFileDialog, "exec", lambda dialog: dialog.setDirectory(str(tmp_path)) or 1
    )
    section.save.native.click()
    other = opened()
    trained = noiser.load_model("noiser").save(tmp_path / "trained")
    other.training.load_models([trained, tmp_path / "mine.safetensors"])
    assert labels(other)[-2:] == [
        "noiser (trained.safetensors, gray, 2-D)",
        "mine (mine.safetensors, gray, 2-D)",
    ]
    assert other.controls.model.value.describe() == fitted.renamed("mine").describe()
    assert other.controls.method.value == "images"
    assert part_of(other, PlotsSection).figure.panels[0].x_label == "fitting step"
    section.remove_model.native.click()
    assert models.value == "auto"
    assert widget.controls.method.value == "noise"
    assert is_there(widget.controls.options["camera"])  # auto is a denoiser, too


def test_noise_can_be_trained_on_while_a_fitted_model_is_chosen(
    widget: NoiserWidget, viewer: ViewerModel, fitted: noiser.recipes.BlindSpotModel, wait_for_run
) -> None:
    chosen = widget.controls
    chosen.model.add(fitted, "fitted")
    chosen.image.value = viewer.add_image(np.zeros((30, 40, 3), np.uint8), rgb=True)
    chosen.method.value = "noise"
    chosen.recipe.fields["iterations"].value = "2"
    widget.training.train.native.click()
    wait_for_run()
    assert (chosen.model.value.samples, chosen.method.value) == (3, "noise")


@pytest.mark.parametrize("keep", ["memory", "live", "disk"])
def test_results_are_kept_wherever_they_are_kept(
    widget: NoiserWidget,
    viewer: ViewerModel,
    fitted: noiser.recipes.BlindSpotModel,
    wait_for_run,
    tmp_path: Path,
    keep: str,
) -> None:
    widget.controls.model.add(fitted, "fitted")
    widget.controls.keep.value, widget.controls.results_folder.value = keep, tmp_path
    for _ in range(2):  # on disk, beside a finished one
        widget.apply.native.click()
        wait_for_run()
        result = viewer.layers[-1]
        data = np.asarray(result.data[0] if result.multiscale else result.data)
        assert_alike(data, noiser.enhance(DIM, fitted))
    assert len(list(tmp_path.iterdir())) == (2 if keep == "disk" else 0)


def test_the_preview_shows_what_apply_makes(
    widget: NoiserWidget, viewer: ViewerModel, fitted: noiser.recipes.BlindSpotModel, wait_for_run
) -> None:
    preview = part_of(widget, PreviewSection)
    preview.divider = 0.0  # all of it is seen
    preview.switch.value = True
    wait_for_run()
    widget.controls.model.add(fitted, "fitted")
    wait_for_run()
    widget.controls.options["brightness"].value = 0.3
    preview._render()
    assert preview.note.value == ""
    shown = np.asarray(viewer.layers["dim [preview]"].data)
    assert_alike(shown, noiser.enhance(DIM, fitted, brightness=0.3))


def test_the_preview_asks_for_a_camera_where_the_model_needs_one(
    widget: NoiserWidget, viewer: ViewerModel, fitted: noiser.recipes.BlindSpotModel, wait_for_run
) -> None:
    widget.controls.image.value = viewer.add_image(NO_CAMERA, name="even")
    preview = part_of(widget, PreviewSection)
    widget.controls.model.value = "structured"  # takes any noise as it is
    preview.divider = 0.0  # all of it is seen
    preview.switch.value = True
    wait_for_run()
    widget.controls.model.add(fitted, "fitted")
    wait_for_run()
    preview._render()
    assert preview.note.value == ""
    shown = np.asarray(viewer.layers["even [preview]"].data)
    assert_alike(shown, noiser.enhance(NO_CAMERA, fitted))
    widget.controls.options["camera"].value = None
    wait_for_run()
    assert "camera noise must be known" in preview.note.value
