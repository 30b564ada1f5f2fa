"""A display or the light itself: a choice that replay and scripts keep."""

from __future__ import annotations

import numpy as np
import pytest
from alike import assert_alike
from napari.components import ViewerModel
from napari.layers import Image
from parts import is_there, labels

import napari_noiser as noiser
from napari_noiser.plugin.results.reapply import provenance_of
from napari_noiser.plugin.results.summary import format_provenance
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget

DIM = np.random.default_rng(0).poisson(np.linspace(3, 30, 40), (3, 40, 40)).astype("uint16") + 100


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    viewer.add_image(DIM, name="dim", scale=(2, 0.5, 0.5))
    return viewer


def test_light_has_the_units_of_the_image() -> None:
    result = noiser.denoise_layer(Image(DIM, name="dim"))
    assert result.data.dtype == np.float32
    assert result.data.mean() == pytest.approx(DIM.mean(), rel=0.01)
    lower, upper = result.contrast_limits
    assert 100 < lower < upper < 140
    assert result.metadata["napari_noiser"]["verb"] == "denoise"
    assert noiser.analysis.measure_linearity(DIM, result.data).slope == pytest.approx(1, abs=0.2)
    assert "light itself" in format_provenance(provenance_of(result))


def test_the_widget_offers_it_for_models_that_restore(widget: NoiserWidget) -> None:
    controls = widget.controls
    controls.model.value = "noiser"
    assert not is_there(controls.verb)
    assert controls.settings.verb == "enhance"
    controls.model.value = "structured"
    assert is_there(controls.verb)
    controls.verb.value = "denoise"
    assert controls.settings.verb == "denoise"
    controls.model.value = "noiser"
    assert controls.settings.verb == "enhance"


def test_applied_and_replayed(widget: NoiserWidget, viewer: ViewerModel, wait_for_run) -> None:
    widget.controls.model.value = "structured"
    widget.controls.verb.value = "denoise"
    widget.apply.native.click()
    wait_for_run()
    result = viewer.layers["dim (counts)"]
    assert_alike(result.data, noiser.denoise(DIM, "structured"))
    again = noiser.reapply(result, viewer.layers["dim"])
    assert_alike(again.data, result.data)
    namespace = {"image": DIM}
    exec(noiser.as_python(result).replace("image = ...", "image = image"), namespace)
    assert_alike(namespace["result"], result.data)


def test_light_in_color_is_not_shown_white() -> None:
    photo = np.stack([DIM[0] - 100 + 20 * at for at in range(3)], axis=-1).astype("uint8")
    result = noiser.denoise_layer(Image(photo, rgb=True, name="photo"))
    lower, upper = result.contrast_limits
    assert lower == 0
    assert 0.8 * result.data.max() <= upper <= result.data.max()


def test_the_tiny_one_for_volumes_trains_first(widget: NoiserWidget) -> None:
    controls = widget.controls
    controls.model.value = "structured-tiny"
    controls.options["ndim"].value = 3
    assert {"structured-tiny (trains first)", "structured (bundled)"} <= {*labels(widget)}
    assert not controls.recipe.faults
    controls.options["ndim"].value = 2
    assert "structured-tiny (bundled)" in labels(widget)


def test_structured_keeps_colors_and_leaves_no_choice(
    widget: NoiserWidget, viewer: ViewerModel
) -> None:
    photo = np.stack([DIM[0]] * 3, axis=-1).astype("uint8")
    widget.controls.image.value = viewer.add_image(photo, rgb=True, name="photo")
    widget.controls.model.value = "noiser"
    assert is_there(widget.controls.options["colors"])
    widget.controls.model.value = "structured"
    assert not is_there(widget.controls.options["colors"])
    assert widget.controls.samples == 1
