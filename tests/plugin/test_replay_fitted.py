"""A result of a fitted model is told and made again, if the model itself is at hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alike import assert_alike
from napari.components import ViewerModel
from napari.layers import Image
from parts import part_of
from scenes import QUICK, counts, light

import napari_noiser as noiser
from napari_noiser.plugin.results.reapply import provenance_of
from napari_noiser.plugin.results.summary import format_provenance
from napari_noiser.plugin.widgets.provenance_section import ProvenanceSection

DIM = counts(light()).astype("float32")
OTHER = counts(light(seed=4), seed=5).astype("float32")
OPEN = "noiser.load_model(...)  # the file of the fitted model 'blind spot'"


@pytest.fixture(scope="module")
def fitted() -> noiser.recipes.BlindSpotModel:
    return noiser.fit(DIM, QUICK, device="cpu", seed=2)


@pytest.fixture
def result(fitted: noiser.recipes.BlindSpotModel) -> Image:
    layer = Image(DIM, name="dim")
    return noiser.denoise_layer(layer, fitted, device="cpu")


def made_of(script: str, model: Path, **fill: np.ndarray) -> np.ndarray:
    """Run a script in a fresh namespace, its open lines filled in, and return what it makes."""
    names: dict[str, Any] = {"given": {"image": DIM, **fill}}
    script = script.replace("load_model(...)", f"load_model({str(model)!r})")
    for name in names["given"]:
        assert f"\n{name} = ...  # " in script
        script = script.replace(f"\n{name} = ...", f"\n{name} = given[{name!r}]")
    assert "(...)" not in script
    exec(compile(script, "script", "exec"), names)
    return np.asarray(names["result"])


def test_it_is_told_in_words(result: Image, fitted: noiser.recipes.BlindSpotModel) -> None:
    text = format_provenance(provenance_of(result))
    assert f"Model: blind spot, 3 steps, seed 2, {fitted.fingerprint}\n" in text
    assert "Method: IRLE, reconstructed from public figures; fitted to noisy images" in text
    assert "Method" not in format_provenance(provenance_of(noiser.enhance_layer(Image(DIM))))


@pytest.mark.parametrize("as_file", [True, False])
def test_the_same_on_another_image(
    result: Image, fitted: noiser.recipes.BlindSpotModel, tmp_path: Path, as_file: bool
) -> None:
    model = fitted.save(tmp_path / "mine") if as_file else fitted
    again = noiser.reapply(result, Image(OTHER, name="other"), model=model)
    assert again.name == "other (blind spot, counts)"
    assert_alike(again.data, noiser.denoise(OTHER, fitted, device="cpu"))


def test_without_the_model_it_is_named(
    result: Image, fitted: noiser.recipes.BlindSpotModel
) -> None:
    with pytest.raises(ValueError, match=f"fingerprint {fitted.fingerprint} was fitted.*model="):
        noiser.reapply(result, Image(OTHER))
    another = noiser.fit(DIM, QUICK, device="cpu", seed=3)
    with pytest.raises(ValueError, match=f"{fitted.fingerprint}; got .*{another.fingerprint}"):
        noiser.reapply(result, Image(OTHER), model=another)
    with pytest.raises(ValueError, match="got 'noiser' of"):
        noiser.reapply(result, Image(OTHER), model="noiser")


def test_a_trained_model_that_is_given_is_taken() -> None:
    model = noiser.train(noiser.recipes.Recipe(name="small", iterations=2, size=8, width=3))
    first = noiser.enhance_layer(Image(DIM), model)
    again = noiser.reapply(first, Image(DIM), model=model)
    np.testing.assert_array_equal(again.data, first.data)


def test_the_script_has_a_line_for_the_file(
    result: Image, fitted: noiser.recipes.BlindSpotModel, tmp_path: Path
) -> None:
    script = noiser.as_python(result)
    assert OPEN in script
    path = fitted.save(tmp_path / "mine")
    np.testing.assert_array_equal(made_of(script, path), result.data)
    noiser.fit(DIM, QUICK, device="cpu", seed=3).save(path)
    with pytest.raises(AssertionError, match="another model than the result"):
        made_of(script, path)


def test_a_gain_map_must_be_given_again(tmp_path: Path) -> None:
    recipe = replace(QUICK, gain="given")
    gain = np.full(DIM.shape, 2.0)
    gain[:100] = 5
    model = noiser.fit(DIM, recipe, gain_map=gain, device="cpu")
    result = noiser.enhance_layer(Image(DIM, name="dim"), model, gain_map=gain)
    with pytest.raises(ValueError, match=r"was made with a gain map \(\w+\): pass gain_map="):
        noiser.reapply(result, Image(DIM), model=model)
    again = noiser.reapply(result, Image(DIM), model=model, gain_map=gain)
    assert_alike(again.data, result.data)
    script = noiser.as_python(result)
    assert made_of(script, model.save(tmp_path / "mine"), gain_map=gain) == pytest.approx(
        result.data
    )


def test_the_widget_finds_the_model_or_says_that_it_is_missing(
    fitted: noiser.recipes.BlindSpotModel, result: Image, viewer: ViewerModel, opened, wait_for_run
) -> None:
    other = viewer.add_image(OTHER, name="other")
    widget = opened()
    viewer.add_layer(result)
    section = part_of(widget, ProvenanceSection)
    assert "Method: IRLE" in section.how.value
    widget.controls.image.value = other
    section.apply.native.click()
    assert f"fingerprint {fitted.fingerprint} was fitted to images" in section.note.value
    assert "load its file into the list" in section.note.value
    widget.controls.model.add(fitted, "mine.safetensors")
    widget.controls.model.value = "noiser"
    viewer.layers.selection.active = result
    section.apply.native.click()
    wait_for_run()
    found = viewer.layers["other (blind spot, counts)"].data
    assert_alike(found, noiser.denoise(OTHER, fitted, device="cpu"))
