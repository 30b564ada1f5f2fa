"""A result is made again: by its script, in a namespace of its own, and on another image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes
from npe2 import PluginManifest
from parts import values

import napari_noiser as noiser
from napari_noiser._progress import run_with_progress
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.results.reapply import (
    provenance_of,
    regions_from_provenance,
    settings_from_provenance,
)
from napari_noiser.plugin.results.summary import format_provenance
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.enhance import start_enhancing
from napari_noiser.plugin.tasks.generators import enhance_task

PLANES = np.random.default_rng(0).poisson(4, (3, 40, 50)).astype(np.uint16) + 100
COLOR = np.random.default_rng(0).integers(0, 20, (30, 40, 3), np.uint8)
SHORT = replace(noiser.RECIPES["p-regression"], iterations=2)
TONED = {"brightness": 0.4, "contrast": 1.8, "statistics": "plane"}
CELL = np.array([[5.0, 5.0], [5.0, 30.0], [25.0, 30.0], [25.0, 5.0]])


def made_by(layer: Image, settings: Settings) -> Image:
    """Return the result that the widget would make."""
    source = LayerSnapshot.from_layer(layer, settings.axes)
    enhanced = run_with_progress(enhance_task(source, settings), False, "")
    return enhanced.layer(source)


def executed(script: str, **fill: np.ndarray) -> np.ndarray:
    """Run a script in a fresh namespace, its open lines filled in, and return what it makes."""
    for name in fill:
        assert f"\n{name} = ...  # " in script
        script = script.replace(f"\n{name} = ...", f"\n{name} = given[{name!r}]")
    assert " = ..." not in script
    namespace = {"__name__": "__main__", "given": fill}
    exec(compile(script, "script", "exec"), namespace)
    return np.asarray(namespace["result"])


@pytest.mark.parametrize(
    ("data", "settings"),
    [
        (PLANES, Settings()),
        (PLANES, Settings(model="noiser-var3", options=TONED)),
        (PLANES, Settings(axes="TYX", options={"statistics": "volume", "dtype": "uint16"})),
        (PLANES, Settings(options={"ndim": 3})),
        (PLANES, Settings(keep="live")),
        (PLANES, Settings(verb="denoise", options={"conserve": 2.0})),
        (PLANES, Settings(model=noiser.RECIPES["p-regression"], seed=3)),
        (COLOR, Settings(model="noiser-es")),
        (COLOR, Settings(model=replace(noiser.RECIPES["noiser"], iterations=3, width=5))),
        (PLANES, Settings(model=noiser.recipes.mean_shifted_recipe(0.45), options={"ndim": 3})),
    ],
)
def test_the_script_makes_the_same_array(data: np.ndarray, settings: Settings) -> None:
    if not isinstance(settings.model, str):
        settings = replace(settings, model=replace(settings.model, iterations=3))
    layer = Image(data, rgb=data.shape[-1] == 3, name='it\'s "dim"')
    result = made_by(layer, settings)
    again = executed(noiser.as_python(result), image=data)
    assert again.dtype == values(result).dtype
    np.testing.assert_allclose(again, values(result), rtol=0, atol=1e-6)


def test_what_was_loaded_from_json_is_as_good() -> None:
    result = made_by(Image(PLANES), Settings(model=SHORT))
    result.metadata = json.loads(json.dumps(result.metadata))
    again = executed(noiser.as_python(result), image=PLANES)
    np.testing.assert_allclose(again, result.data, rtol=0, atol=1e-6)


@pytest.mark.parametrize("data", [PLANES, COLOR], ids=["gray", "color"])
def test_a_result_on_disk_is_made_on_disk_again(
    data: np.ndarray, tmp_path: Path, monkeypatch
) -> None:
    place = {"scale": (2, 0.5, 0.5), "units": ("um",) * 3} if data is PLANES else {}
    layer = Image(data, rgb=data is COLOR, name="cells", **place)
    result = made_by(layer, Settings(keep="disk", results_folder=tmp_path))
    monkeypatch.chdir(tmp_path)
    again = executed(noiser.as_python(result), image=data)
    np.testing.assert_allclose(again, values(result), rtol=0, atol=1e-6)
    from napari_noiser.files.open_image import open_image

    found = open_image(tmp_path / "cells (denoised) again.ome.zarr")
    if data is PLANES:
        assert (found.space.scale, found.space.units) == ((2, 0.5, 0.5), ("micrometer",) * 3)


def test_an_image_from_a_file_is_opened(tmp_path: Path, qapp, npe2pm) -> None:
    npe2pm.register(PluginManifest.from_distribution("napari"))
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, PLANES, photometric="minisblack")
    viewer = ViewerModel()
    (layer,) = viewer.open(str(path), plugin="napari")
    result = noiser.enhance_layer(layer)
    script = noiser.as_python(result)
    assert f"noiser.io.open_image({str(path)!r})" in script
    np.testing.assert_allclose(executed(script), result.data, rtol=0, atol=1e-6)
    layer.data = layer.data[1:]  # no longer what is in the file
    assert "image = ...  # the array of layer 'cells'" in noiser.as_python(
        noiser.enhance_layer(layer)
    )
    path.unlink()
    assert "image = ..." in noiser.as_python(result)


def test_a_mask_is_to_be_filled_in() -> None:
    cell = Shapes([CELL], shape_type="polygon", name="cell")
    spots = Labels(np.eye(50, dtype=int)[:40], name="spots")
    layer = Image(PLANES, name="cells")
    result = made_by(layer, Settings(region=cell, leave_out=spots))
    script = noiser.as_python(result)
    made = provenance_of(result)
    assert made["mask"] in script
    hint = script.split("# In napari: mask = ")[1].splitlines()[0]
    layers = {each.name: each for each in (cell, spots, layer)}
    viewer = type("Viewer", (), {"layers": layers})
    mask = eval(hint, {"noiser": noiser, "viewer": viewer})
    again = executed(script, image=PLANES, mask=mask)
    np.testing.assert_allclose(again, result.data, rtol=0, atol=1e-6)


def test_the_script_notices_another_model() -> None:
    result = made_by(Image(PLANES), Settings(model=SHORT))
    result.metadata["napari_noiser"]["fingerprint"] = "000000000000"
    with pytest.raises(AssertionError, match="another model than the result"):
        executed(noiser.as_python(result), image=PLANES)


# on another layer


def test_the_same_settings_on_another_layer() -> None:
    options = {"contrast": 2.0, "statistics": "plane", "dtype": "uint8"}
    result = made_by(Image(PLANES), Settings(model="noiser-es", options=options))
    other = PLANES[:, ::-1] * 3
    again = noiser.reapply(result, Image(other, name="other", scale=(3, 1, 1)))
    expected = noiser.enhance(other, "noiser-es", **options)
    np.testing.assert_array_equal(again.data, expected)
    assert again.name == "other (brightened)"
    assert again.scale.tolist() == [3, 1, 1]


def test_axes_are_taken_over_where_they_fit() -> None:
    result = noiser.enhance_layer(Image(PLANES), axes="CYX")
    assert provenance_of(noiser.reapply(result, Image(PLANES)))["axes"] == "CYX"
    assert provenance_of(noiser.reapply(result, Image(PLANES[0])))["axes"] == "YX"
    assert provenance_of(noiser.reapply(result, Image(COLOR, rgb=True)))["axes"] == "YXS"


def test_a_trained_model_is_trained_again() -> None:
    recipe = replace(noiser.RECIPES["noiser"], iterations=3)
    result = made_by(Image(PLANES), Settings(model=recipe, seed=5))
    again = noiser.reapply(result, Image(PLANES))
    np.testing.assert_allclose(again.data, result.data, rtol=0, atol=1e-6)
    color = provenance_of(noiser.reapply(result, Image(COLOR, rgb=True)))
    assert (color["samples"], color["recipe"]["iterations"], color["seed"]) == (3, 3, 5)
    result.metadata["napari_noiser"]["fingerprint"] = "000000000000"
    with pytest.warns(UserWarning, match="became another one"):
        noiser.reapply(result, Image(PLANES))


def test_a_mask_must_be_given_again() -> None:
    cell = Shapes([CELL], shape_type="polygon", name="cell")
    layer = Image(PLANES, name="cells")
    result = made_by(layer, Settings(region=cell))
    with pytest.raises(ValueError, match=r"made with a mask \(from 'cell' mask .*pass mask="):
        noiser.reapply(result, layer)
    again = noiser.reapply(result, layer, mask=noiser.region_mask(cell, layer))
    np.testing.assert_allclose(again.data, result.data, rtol=0, atol=1e-6)


def test_regions_are_found_by_their_names() -> None:
    cell = Shapes([CELL], shape_type="polygon", name="cell")
    made = provenance_of(made_by(Image(PLANES), Settings(region=cell, all_planes=True)))
    assert regions_from_provenance(made, [Points(name="cell"), cell]) == {
        "region": cell,
        "all_planes": True,
    }
    with pytest.raises(ValueError, match="'cell' is not among the layers"):
        regions_from_provenance(made, [Points(name="cell")])
    by_hand = noiser.enhance_layer(Image(PLANES), mask=np.ones((40, 50), bool))
    with pytest.raises(ValueError, match="mask it was made with is not among the layers"):
        regions_from_provenance(provenance_of(by_hand), [cell])
    assert (
        regions_from_provenance(provenance_of(noiser.enhance_layer(Image(PLANES))), [cell]) == {}
    )


def test_settings_survive() -> None:
    options = {"statistics": "plane", "brightness": 0.5, "device": "cpu", "dtype": "float32"}
    settings = Settings(model="noiser-es", options=options)
    again = settings_from_provenance(provenance_of(made_by(Image(PLANES), settings)))
    known = {"colors": "balanced", "background": "gray"}  # what auto is for this model
    assert again.resolved == {**settings.resolved, **known}
    assert (again.verb, again.model, again.seed) == ("enhance", "noiser-es", 0)


def test_what_is_no_result_is_said() -> None:
    for layer in (Image(PLANES, name="raw"), Image(PLANES, metadata={"napari_noiser": 3})):
        with pytest.raises(ValueError, match="must be a result of napari-noiser"):
            noiser.as_python(layer)
        with pytest.raises(ValueError, match=f"got {layer.name!r}"):
            noiser.reapply(layer, layer)
    result = noiser.enhance_layer(Image(PLANES))
    with pytest.raises(TypeError, match="must be an Image layer"):
        noiser.reapply(result, Labels(PLANES))
    for given in ("raw", PLANES):
        with pytest.raises(TypeError, match=f"an Image layer, got {type(given).__name__}$"):
            noiser.as_python(given)
    with pytest.raises(TypeError, match=r"model must be .* got 3"):
        noiser.reapply(result, Image(PLANES), model=3)
    with pytest.raises(ValueError, match="axes must have Z"):
        noiser.reapply(noiser.enhance_layer(Image(PLANES), ndim=3), Image(PLANES[0]))


def test_it_is_told_in_words(qapp, tmp_path: Path, wait_for_run) -> None:
    viewer = ViewerModel()
    cell = viewer.add_shapes([CELL], shape_type="polygon", name="cell")
    settings = Settings(
        model="noiser",
        region=cell,
        options={"contrast": 2.0},
        keep="disk",
        results_folder=tmp_path,
    )
    start_enhancing(viewer, [LayerSnapshot.from_layer(Image(PLANES, name="cells"))], settings)
    wait_for_run()
    text = format_provenance(provenance_of(viewer.layers["cells (brightened)"]))
    for line in (
        "Image: cells, axes ZYX",
        "Model: noiser, 2000 steps, seed 0, ",
        "Render: planes (2-D)",
        "Shared statistics: whole series, from 'cell' mask ",
        "Brightness: 0",
        "Contrast: 2",
        f"File: {tmp_path}",
    ):
        assert f"\n{line}" in f"\n{text}"
