"""The section that edits and trains recipes and keeps the list of models, used as one would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from parts import labels
from qtpy.QtWidgets import QFileDialog, QInputDialog
from superqt import QCollapsible

import napari_noiser as noiser
from napari_noiser.methods.noiser.model import NoiserModel
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.training_section import TrainingSection

SMALL = noiser.recipes.Recipe(name="small", iterations=2, size=8, size_3d=5, width=3)


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    viewer.add_image(np.random.default_rng(0).poisson(4, (30, 40)), name="cells")
    return viewer


@pytest.fixture
def widget(widget: NoiserWidget) -> NoiserWidget:
    widget.controls.model.value = "noiser"
    return widget


@pytest.fixture
def section(widget: NoiserWidget) -> TrainingSection:
    return widget.training


@pytest.fixture(scope="module")
def model() -> NoiserModel:
    return noiser.train(SMALL, device="cpu", seed=3)


def edit(widget: NoiserWidget, **texts: str) -> None:
    """Write into fields; a field of the source is called source_mean here."""
    for name, text in texts.items():
        widget.controls.recipe.fields[name.replace("source_", "source.")].value = text


def test_the_controls_of_a_recipe_are_made_when_they_are_unfolded(widget: NoiserWidget) -> None:
    """They take most of the time in which the widget would open."""
    editor = widget.controls.recipe
    widget.controls.model.value = "noiser-es"
    assert len(editor) == 0
    for box in widget.native.findChildren(QCollapsible):
        box.expand(animate=False)
    assert len(editor) > 0
    assert editor.fields["name"].value == "noiser-es"


def test_the_chosen_models_recipe_is_shown(widget: NoiserWidget, model: NoiserModel) -> None:
    recipes = widget.controls.recipe
    assert recipes.recipe == noiser.RECIPES["noiser"]
    for name in ("ms-noiser", "c-regression", "p-regression", "noiser-es"):
        widget.controls.model.value = name
        assert recipes.recipe == noiser.RECIPES[name]
    widget.controls.model.add(model)
    assert recipes.recipe == SMALL
    assert recipes.fields["width"].value == "3"


def test_what_is_wrong_is_said_in_place_and_nothing_trains(
    widget: NoiserWidget, section: TrainingSection
) -> None:
    recipes = widget.controls.recipe
    assert section.train.enabled
    edit(widget, width="0", source_variance="wide")
    assert not section.train.enabled
    assert recipes.notes["width"].value == "width must be a whole number of at least 1, got 0"
    assert recipes.notes["source.variance"].value.startswith("variance must be a number")
    assert recipes.notes["size"].value == ""
    assert [name for name, each in recipes.fields.items() if marked(each)] == [
        *("source.variance", "width")
    ]
    assert "marked" in section.state.value
    assert recipes.all_numbers.isExpanded()
    edit(widget, width="4")
    assert recipes.notes["width"].value == ""
    assert not section.train.enabled
    edit(widget, source_variance="1")
    assert section.train.enabled
    assert not any(marked(each) for each in recipes.fields.values())
    assert section.state.value == "Edited. Until it is trained, Apply uses noiser (bundled)."
    edit(widget, width="9")
    assert section.state.value == ""


def test_what_does_not_fit_the_images_colors_is_said(
    widget: NoiserWidget, section: TrainingSection, viewer: ViewerModel
) -> None:
    edit(widget, source_mean="0, 0.1, 0.2")
    assert "one a sample (1)" in widget.controls.recipe.notes["source.mean"].value
    widget.controls.image.value = viewer.add_image(np.zeros((8, 8, 3), np.uint8), rgb=True)
    assert widget.controls.recipe.notes["source.mean"].value == ""
    assert section.train.enabled


def test_another_source_has_other_fields(widget: NoiserWidget) -> None:
    recipes = widget.controls.recipe
    edit(widget, source_kind="palette")
    edit(widget, source_grid="3")
    assert "source.mean" not in recipes.fields
    assert recipes.recipe == replace(noiser.RECIPES["noiser"], source=noiser.recipes.Palette(3))
    edit(widget, source_grid="x")
    edit(widget, source_kind="pure-color")
    assert recipes.recipe.source == noiser.recipes.PureColor()


def test_an_edited_recipe_trains_into_the_list_and_is_applied(
    widget: NoiserWidget, section: TrainingSection, viewer: ViewerModel, wait_for_run
) -> None:
    edit(widget, name="mine", iterations="3", width="5", size="9", source_mean="0.1")
    widget.controls.seed.value = 4
    section.train.native.click()
    assert not section.train.enabled
    assert widget.cancel.enabled
    wait_for_run()
    assert section.train.enabled
    trained = widget.controls.model.value
    source = noiser.recipes.GaussianNoise(0.1)
    changes = {"name": "mine", "iterations": 3, "width": 5, "size": 9, "source": source}
    expected = replace(noiser.RECIPES["noiser"], **changes)
    assert (trained.recipe, trained.seed) == (expected, 4)
    again = noiser.train(expected, device="cpu", seed=4)  # on another number of threads
    assert trained.losses == pytest.approx(again.losses, rel=1e-4)
    assert labels(widget)[-1] == "mine (trained, gray, 2-D)"
    widget.apply.native.click()
    wait_for_run()
    made = viewer.layers["cells (mine)"].metadata["napari_noiser"]
    assert made["fingerprint"] == trained.fingerprint


def test_apply_trains_a_recipe_as_it_was_edited(
    widget: NoiserWidget, section: TrainingSection, viewer: ViewerModel, wait_for_run
) -> None:
    widget.controls.model.value = "ms-noiser"
    assert section.state.value == "Apply trains this recipe first."
    edit(widget, iterations="0")
    widget.apply.native.click()
    assert widget.status.value == "iterations must be a whole number of at least 1, got 0"
    edit(widget, iterations="2", size="8", source_mean="0.4")
    widget.apply.native.click()
    wait_for_run()
    made = viewer.layers["cells (brightened)"].metadata["napari_noiser"]["recipe"]
    assert (made["iterations"], made["size"], list(made["source"]["mean"])) == (2, 8, [0.4])
    assert labels(widget)[-1] == "ms-noiser (trained, gray, 2-D)"


def test_a_bundled_model_is_applied_whatever_was_edited(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run
) -> None:
    edit(widget, iterations="none")
    widget.apply.native.click()
    wait_for_run()
    made = viewer.layers["cells (brightened)"].metadata["napari_noiser"]
    assert made["fingerprint"] == noiser.load_model("noiser").fingerprint


def test_renamed_saved_and_loaded_elsewhere_it_is_the_same(
    widget: NoiserWidget,
    section: TrainingSection,
    viewer: ViewerModel,
    model: NoiserModel,
    opened,
    monkeypatch,
    tmp_path: Path,
) -> None:
    widget.controls.model.add(model)
    monkeypatch.setattr(QInputDialog, "getText", lambda *args, **options: ("a/b", True))
    section.rename.native.click()
    assert labels(widget)[-1] == "a/b (trained, gray, 2-D)"
    assert widget.controls.recipe.fields["name"].value == "a/b"
    monkeypatch.setattr(
        QFileDialog, "exec", lambda dialog: dialog.setDirectory(str(tmp_path)) or 1
    )
    section.save.native.click()
    (file,) = tmp_path.iterdir()
    assert file.name == "a_b.safetensors"
    assert str(file) in section.message.value
    other = opened()
    answer = ([str(file)], "")
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *args: answer)
    other.training.load.native.click()
    loaded = other.controls.model.value
    assert loaded.describe() == model.renamed("a/b").describe()
    assert loaded.losses == model.losses
    assert labels(other)[-1] == "a/b (a_b.safetensors, gray, 2-D)"


@pytest.mark.parametrize("name", ["", "   "])
def test_an_empty_name_is_refused_in_place(
    widget: NoiserWidget, section: TrainingSection, model: NoiserModel, monkeypatch, name: str
) -> None:
    widget.controls.model.add(model)
    monkeypatch.setattr(QInputDialog, "getText", lambda *args, **options: (name, True))
    section.rename.native.click()
    assert section.message.value.startswith("name must be a string that is not empty")
    assert widget.controls.model.value is model


def test_several_files_are_loaded_at_once_and_what_is_none_is_said(
    widget: NoiserWidget, section: TrainingSection, tmp_path: Path
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing of the kind")
    for ndim in (2, 3):
        noiser.load_model("noiser", ndim=ndim).save(tmp_path / f"{ndim}.safetensors")
    section.load_models([tmp_path / f"{name}.safetensors" for name in (2, "broken", 3)])
    assert labels(widget)[-2:] == [
        "noiser (2.safetensors, gray, 2-D)",
        "noiser (3.safetensors, gray, 3-D)",
    ]
    assert "is not a readable model" in section.message.value
    assert widget.controls.options["ndim"].value == 3


def test_only_models_of_ones_own_are_renamed_and_removed(
    widget: NoiserWidget, section: TrainingSection, model: NoiserModel
) -> None:
    assert (section.rename.enabled, section.remove_model.enabled) == (False, False)
    widget.controls.model.add(model)
    assert (section.rename.enabled, section.remove_model.enabled) == (True, True)
    section.remove_model.native.click()
    assert widget.controls.model.value == "auto"
    assert labels(widget)[-1] == "p-regression (trains first)"
    assert widget.controls.recipe.recipe == noiser.RECIPES["structured"]


def test_what_trains_first_depends_on_the_image(
    widget: NoiserWidget, viewer: ViewerModel, model: NoiserModel
) -> None:
    assert labels(widget)[:7] == [
        *("auto: structured (bundled)", "noiser (bundled)", "noiser-es (bundled)"),
        "noiser-var3 (bundled)",
        *("structured (bundled)", "structured-tiny (bundled)"),
        "structured-large (trains first)",
    ]
    widget.controls.model.add(model)
    widget.controls.model.value = "noiser-es"
    seen = []
    widget.controls.model.changed.connect(seen.append)
    widget.controls.image.value = viewer.add_image(np.zeros((4, 8, 8, 3), np.uint8), rgb=True)
    widget.controls.options["ndim"].value = 3
    assert labels(widget)[:2] == ["auto: structured (bundled)", "noiser (trains first)"]
    assert labels(widget)[-1] == "small (trained, gray, 2-D)"
    assert widget.controls.model.value == "noiser-es"
    assert not seen


def test_no_two_models_look_the_same(widget: NoiserWidget, model: NoiserModel) -> None:
    widget.controls.model.add(model)
    widget.controls.model.add(noiser.train(SMALL, device="cpu", seed=5))
    assert labels(widget)[-2:] == ["small (trained, gray, 2-D)", "small [2] (trained, gray, 2-D)"]


def test_the_same_model_is_in_the_list_once(widget: NoiserWidget, model: NoiserModel) -> None:
    again = noiser.train(SMALL, device="cpu", seed=3)
    widget.controls.model.add(model)
    widget.controls.model.add(again, "small.safetensors")
    assert list(widget.controls.model.models) == [again]
    assert widget.controls.model.value is again


def marked(field: object) -> bool:
    """Return whether there is a sign in a field that something is wrong with it."""
    return any(action.isVisible() for action in field.native.actions())
