"""Layer to array and axes, and back with everything carried."""

from __future__ import annotations

import json

import numpy as np
import pytest
import zarr
from helpers.errors import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Labels, Points
from wrapt import ObjectProxy

import napari_noiser as noiser
from napari_noiser.arrays.axis_names import read_axes
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.plugin.layers.enhance_layer import enhance_layer
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, axes_choices, guess_axes

CARRIED = (
    *("scale", "translate", "rotate", "shear", "units", "axis_labels", "blending", "colormap"),
    *("depiction", "interpolation2d", "interpolation3d", "opacity", "projection_mode"),
    "rendering",
)


def test_place_and_look_are_carried(dim_stack: Image) -> None:
    before = dim_stack.data.copy()
    result = enhance_layer(dim_stack)
    for name in CARRIED:
        expected, found = getattr(dim_stack, name), getattr(result, name)
        assert np.all(np.asarray(expected == found)), name
    np.testing.assert_allclose(result.affine.affine_matrix, dim_stack.affine.affine_matrix)
    assert len(result.experimental_clipping_planes) == 1
    assert result.experimental_clipping_planes[0].position == (1, 2, 3)
    np.testing.assert_array_equal(dim_stack.data, before)


def test_metadata_is_copied_with_provenance(dim_stack: Image) -> None:
    result = enhance_layer(dim_stack)
    assert result.name == "cells (denoised)"
    assert result.metadata["microscope"] == {"objective": "40x"}
    result.metadata["microscope"]["objective"] = "10x"
    assert dim_stack.metadata == {"microscope": {"objective": "40x"}}
    assert result.metadata["napari_noiser"]["source"] == "cells"


def test_provenance_is_enough_to_make_the_same_array_again(dim_stack: Image) -> None:
    result = enhance_layer(
        dim_stack, "noiser-es", statistics="plane", brightness=0.3, contrast=1.7, dtype="uint16"
    )
    made = json.loads(json.dumps(result.metadata["napari_noiser"]))
    model = noiser.load_model(made["recipe"]["name"], samples=made["samples"], ndim=made["ndim"])
    assert model.fingerprint == made["fingerprint"]
    assert Recipe.from_dict(made["recipe"]) == model.recipe
    names = ("axes", "ndim", "statistics", "brightness", "contrast", "dtype", "device")
    again = noiser.enhance(dim_stack.data, model, **{name: made[name] for name in names})
    np.testing.assert_allclose(result.data, again, rtol=0, atol=1)


def test_other_layers_are_refused_with_a_reason() -> None:
    for layer in (Points(np.zeros((2, 2)), name="spots"), Labels(np.zeros((4, 4), int))):
        with pytest.raises(TypeError, match=f"Image layer, got {type(layer).__name__}"):
            enhance_layer(layer)


def test_a_layer_behind_a_proxy_is_called_what_it_is() -> None:
    spots = ObjectProxy(Points(np.zeros((2, 2)), name="spots"))
    with pytest.raises(TypeError, match="Image layer, got Points 'spots'"):
        enhance_layer(spots)


def test_multiscale_takes_level_0() -> None:
    full = np.random.default_rng(0).poisson(3, (64, 48)).astype(np.uint8)
    layer = Image([full, full[::2, ::2], full[::4, ::4]], multiscale=True, scale=(2, 2))
    result = enhance_layer(layer)
    assert not result.multiscale
    np.testing.assert_allclose(result.data, noiser.enhance(full), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(result.extent.world, layer.extent.world)


def test_lazy_data_are_not_loaded_when_the_work_is_prepared() -> None:
    dask = pytest.importorskip("dask.array")
    loaded = []

    def load(block):
        loaded.append(1)
        return block

    lazy = dask.zeros((4, 32, 32), chunks=(1, 32, 32)).map_blocks(
        load, dtype=float, meta=np.zeros((0, 0, 0))
    )
    layer = Image(lazy, contrast_limits=(0, 1))
    before = len(loaded)
    assert LayerSnapshot.from_layer(layer).array is layer.data
    assert len(loaded) == before


def test_rgb_layer_is_enhanced_jointly_and_stays_rgb() -> None:
    data = np.random.default_rng(0).integers(0, 20, (30, 40, 3), np.uint8)
    layer = Image(data, rgb=True, scale=(3, 3))
    result = enhance_layer(layer)
    assert result.rgb
    assert tuple(result.contrast_limits) == (0, 1)
    np.testing.assert_allclose(result.data, noiser.enhance(data, axes="YXS"), rtol=0, atol=1e-6)


def test_three_planes_are_not_taken_for_color() -> None:
    data = np.random.default_rng(0).integers(0, 20, (30, 40, 3), np.uint8)
    layer = Image(data, rgb=False)
    assert guess_axes(layer) == "ZYX"
    assert "YXC" in axes_choices(layer)
    result = enhance_layer(layer, axes="YXC")
    assert not result.rgb
    np.testing.assert_allclose(
        result.data[..., 1], noiser.enhance(data[..., 1]), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("labels", "axes"),
    [
        (("y", "x"), "YX"),
        (("Time", "Y", "X"), "TYX"),
        (("t", "channel", "z", "y", "x"), "TCZYX"),
        (("c", "y", "x"), "CYX"),
        (("y", "x", "c"), "YXC"),
        (("-3", "-2", "-1"), "ZYX"),
        (("pln", "row", "col"), "ZYX"),
        (("-3", "y", "x"), "ZYX"),
    ],
)
def test_axes_are_read_from_labels(labels: tuple[str, ...], axes: str) -> None:
    layer = Image(np.zeros((4,) * len(labels)), axis_labels=labels)
    assert guess_axes(layer) == axes
    assert axes_choices(layer)[0] == axes


@pytest.mark.parametrize("labels", [("foo", "y", "x"), ("z", "z", "x"), ("p", "y", "x")])
def test_labels_that_are_not_understood_are_asked_about(labels: tuple[str, ...]) -> None:
    layer = Image(np.zeros((4, 4, 4)), axis_labels=labels)
    assert guess_axes(layer) == ""
    assert axes_choices(layer)[:2] == ["", "TYX"]
    for axes in (None, ""):
        with refused("axes", ", ".join(labels)):
            LayerSnapshot.from_layer(layer, axes)
    assert LayerSnapshot.from_layer(layer, "CYX").axes == "CYX"


@pytest.mark.parametrize("dims", [("c", "y", "x"), ("time", "row", "col")])
def test_data_with_names_need_no_labels(dims: tuple[str, ...]) -> None:
    array = zarr.create_array({}, data=np.zeros((4, 4, 4)), dimension_names=dims)
    assert guess_axes(Image(array)) == read_axes(dims)
    assert guess_axes(Image(array, axis_labels=("z", "y", "x"))) == "ZYX"


@pytest.mark.parametrize(
    ("placement", "lost"),
    [
        ({"rotate": 30}, "rotation"),
        ({"shear": [0.5]}, "shear"),
        ({"affine": [[0, 1, 0], [1, 0, 0], [0, 0, 1]]}, "affine"),
        ({"affine": np.diag([1, -1, 1])}, "affine"),
        ({"scale": (2, -1)}, "flip"),
        ({"rotate": 90, "scale": (-2, 1)}, "rotation, flip"),
        ({"scale": (2, 3), "translate": (5, 6)}, ""),
        ({"affine": [[2, 0, 4], [0, 3, -1], [0, 0, 1]]}, ""),
    ],
)
def test_what_files_cannot_say_of_the_placement_is_said(
    placement: dict[str, object], lost: str
) -> None:
    said = LayerSnapshot.from_layer(Image(np.zeros((9, 9)), **placement)).placement_warning
    assert bool(said) == bool(lost)
    assert lost in said


def test_an_affine_transform_of_steps_and_positions_is_kept() -> None:
    affine = [[2, 0, 4], [0, 3, -1], [0, 0, 1]]
    layer = Image(np.zeros((9, 9)), scale=(0.5, 0.25), translate=(1, 2), affine=affine)
    space = LayerSnapshot.from_layer(layer).spatial_metadata
    here = Image(np.zeros((9, 9)), scale=space.scale, translate=space.translate)
    for point in ((0, 0), (3, 5)):
        np.testing.assert_allclose(here.data_to_world(point), layer.data_to_world(point))


def test_a_layer_of_masked_data_is_refused() -> None:
    layer = Image(np.zeros((9, 9)))
    layer.data = np.ma.array(np.eye(9), mask=np.eye(9) > 0)
    with refused("image", error=TypeError):
        enhance_layer(layer)


@given(st.integers(2, 5), st.booleans())
@settings(max_examples=10)
def test_every_choice_of_axes_fits_the_layer(ndim: int, rgb: bool) -> None:
    layer = Image(np.zeros((4,) * ndim + ((3,) if rgb else ())), rgb=rgb)
    choices = axes_choices(layer)
    assert len(set(choices)) == len(choices)
    for axes in choices:
        assert len(axes) == ndim + rgb
        assert {"Y", "X"} <= set(axes)
        assert axes.endswith("S") == rgb


def test_background_does_not_look_like_fog() -> None:
    random = np.random.default_rng(0)
    image = random.poisson(2.0, (128, 128)).astype(float)
    image[40:60, 40:60] += random.poisson(60.0, (20, 20))
    gray, dark = enhance_layer(Image(image), "noiser"), enhance_layer(Image(image))
    for result in (gray, dark):
        background = np.median(result.data)
        lower, upper = result.contrast_limits
        assert (background - lower) / (upper - lower) < 0.15
    assert np.median(gray.data) > 0.4


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_result_type(dim_stack: Image, dtype: str) -> None:
    result = enhance_layer(dim_stack, dtype=dtype)
    assert result.data.dtype == dtype
    full = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    plain = noiser.enhance(dim_stack.data)
    np.testing.assert_allclose(result.data / full, plain, atol=0.51 / 255)
    assert tuple(result.contrast_limits) == (0, full)


def test_anisotropic_volumes_are_warned_of(dim_stack: Image) -> None:
    with pytest.warns(UserWarning, match="step in z is 4 times"):
        enhance_layer(dim_stack, ndim=3)
    assert LayerSnapshot.from_layer(dim_stack).anisotropy_warning(2) == ""


def test_a_layer_changed_while_the_work_runs_does_not_change_the_result(dim_stack: Image) -> None:
    source = LayerSnapshot.from_layer(dim_stack)
    dim_stack.scale = (9, 9, 9)
    dim_stack.name = "renamed"
    result = source.result(
        np.zeros((3, 40, 50), np.float32), {"recipe": {"name": "r"}, "verb": "enhance"}, (0, 1)
    )
    assert result.name.startswith("cells (")
    np.testing.assert_array_equal(result.scale, (2.0, 0.5, 0.5))


def test_metadata_that_cannot_be_copied_are_shared(dim_stack: Image) -> None:
    import threading

    dim_stack.metadata = {"lock": threading.Lock()}
    assert LayerSnapshot.from_layer(dim_stack).metadata["lock"] is dim_stack.metadata["lock"]


def test_the_source_does_not_change_with_its_result(dim_stack: Image) -> None:
    result = enhance_layer(dim_stack)
    before = dim_stack.affine.affine_matrix.copy()
    result.affine.translate = (5, 5, 5)
    np.testing.assert_array_equal(dim_stack.affine.affine_matrix, before)


def test_wrong_arguments_are_named(dim_stack: Image) -> None:
    with pytest.raises(TypeError, match="enhance takes no argument 'brigthness'"):
        enhance_layer(dim_stack, brigthness=1)
    color = Image(np.zeros((8, 8, 3), np.uint8), rgb=True)
    with pytest.raises(ValueError, match="axes of an RGB layer end in S"):
        enhance_layer(color, axes="YXC")
    with pytest.raises(TypeError, match="axes must be a string such as 'TZYX', got 3"):
        enhance_layer(dim_stack, axes=3)
    with pytest.raises(TypeError, match=r"an Image layer, got ndarray: .*napari_noiser\.enhance"):
        enhance_layer(dim_stack.data)  # whose values would fill the screen
    with pytest.raises(ValueError, match="axes cannot be guessed for 6 dimensions"):
        enhance_layer(Image(np.zeros((1, 1, 1, 1, 4, 4))))


def test_a_mask_leaves_its_mark_in_the_provenance(dim_stack: Image) -> None:
    mask = np.zeros((40, 50), bool)
    mask[5:20, 5:20] = True
    marks = [
        enhance_layer(dim_stack, mask=each).metadata["napari_noiser"]["mask"]
        for each in (mask, mask.T.copy().T, ~mask, None)
    ]
    assert marks[0] == marks[1] != marks[2]
    assert marks[3] is None
