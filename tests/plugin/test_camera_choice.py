"""Camera, repair and background: chosen in the widget, previewed, applied, told and done again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from alike import assert_alike
from napari.components import ViewerModel
from napari.layers import Image
from parts import is_there, part_of

import napari_noiser as noiser
from napari_noiser.files.provenance import PROVENANCE
from napari_noiser.plugin.results.reapply import provenance_of
from napari_noiser.plugin.results.statistics import result_statistics
from napari_noiser.plugin.results.summary import format_provenance
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.preview_section import PreviewSection

HOT = ([20, 51, 77], [8, 40, 83])
CAMERA = noiser.camera.CameraNoise(gain=2.0, offset=100.0, read_noise=1.0)


def exposed() -> np.ndarray:
    """Return a staircase of light with a few hot pixels."""
    random = np.random.default_rng(0)
    electrons = random.poisson(5 + 10 * (np.arange(96) // 12), (96, 96))
    electrons[HOT] += 3000
    return (CAMERA.gain * electrons + CAMERA.offset).astype("uint16")


DIM = exposed()


@pytest.fixture
def viewer(viewer: ViewerModel) -> ViewerModel:
    viewer.add_image(DIM, name="dim")
    return viewer


def result_of_script(layer: Image) -> np.ndarray:
    namespace: dict[str, Any] = {"image": DIM}
    exec(noiser.as_python(layer).replace("image = ...", "image = image"), namespace)
    return namespace["result"]


@pytest.mark.parametrize("camera", ["auto", None])
@pytest.mark.parametrize("repair", [True, False])
def test_what_is_chosen_is_applied(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run, camera: str | None, repair: bool
) -> None:
    controls = widget.controls
    controls.model.value = "structured"
    controls.verb.value = "denoise"
    controls.options["camera"].value, controls.options["repair"].value = camera, repair
    widget.apply.native.click()
    wait_for_run()
    result = viewer.layers["dim (counts)"]
    expected = noiser.denoise(DIM, camera=camera, repair=repair)
    assert_alike(result.data, expected)
    hot_is_gone = expected[HOT].max() < 400
    assert hot_is_gone == (camera == "auto" and repair)


def test_it_is_shown_for_models_that_restore_only(widget: NoiserWidget) -> None:
    controls = widget.controls
    own = (controls.options["camera"], controls.options["repair"])
    controls.model.value = "noiser"
    assert not any(is_there(each) for each in own)
    controls.model.value = "structured"
    assert all(is_there(each) for each in own)
    assert is_there(controls.options["background"])


def test_a_dark_background_is_previewed_and_applied(
    widget: NoiserWidget, viewer: ViewerModel, wait_for_run, qtbot
) -> None:
    preview = part_of(widget, PreviewSection)
    preview.divider = 0.0  # all of it is seen
    preview.switch.value = True
    wait_for_run()

    def shows(expected: np.ndarray) -> bool:
        shown = [each for each in viewer.layers if each.name == "dim [preview]"]
        return bool(shown) and np.allclose(np.asarray(shown[0].data[...]), expected, atol=1e-5)

    for model, background in (
        ("noiser", "gray"),
        ("noiser", "dark"),
        ("structured", "dark"),  # another camera: it is measured anew
        ("noiser", "dark"),
    ):
        widget.controls.model.value = model
        widget.controls.options["background"].value = background
        expected = noiser.enhance(DIM, model, background=background)
        qtbot.waitUntil(lambda expected=expected: shows(expected), timeout=30_000)
    widget.apply.native.click()
    wait_for_run()
    result = viewer.layers["dim (brightened)"]
    np.testing.assert_allclose(result.data, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "(estimated); outliers repaired"),
        ({"camera": CAMERA, "repair": False}, "gain 2, offset 100, read noise 1 e- (given)"),
        ({"camera": CAMERA, "max_change": 1.5, "conserve": 2.0}, "(given)"),
        ({"camera": None}, ""),
    ],
)
def test_it_is_told_and_done_again(options: dict[str, Any], words: str) -> None:
    result = noiser.denoise_layer(Image(DIM, name="dim"), **options)
    made = provenance_of(result)
    assert words in format_provenance(made)
    assert ("Camera" in format_provenance(made)) == (options.get("camera", "auto") is not None)
    again = noiser.reapply(result, Image(DIM, name="dim"))
    assert_alike(again.data, result.data)
    assert_alike(result_of_script(result), result.data)


def test_an_estimate_is_made_anew_for_another_image_and_a_given_camera_is_kept() -> None:
    other = (7.0 * DIM.astype("float64") + 30).astype("float32")
    estimated = noiser.denoise_layer(Image(DIM))
    again = noiser.reapply(estimated, Image(other))
    assert_alike(again.data, noiser.denoise(other))
    given = noiser.denoise_layer(Image(DIM), camera=CAMERA)
    kept = noiser.reapply(given, Image(other)).metadata[PROVENANCE]["camera"]
    assert kept == {"gain": 2.0, "offset": 100.0, "read_noise": 1.0}


def test_light_has_a_report() -> None:
    result = noiser.denoise_layer(Image(DIM), camera=CAMERA)
    found = result_statistics(
        DIM, result.data, "YX", verb="denoise", camera=provenance_of(result)["camera"]
    ).light
    assert found.flux == pytest.approx(1, abs=0.03)
    assert found.taken == pytest.approx(1, abs=0.2)
