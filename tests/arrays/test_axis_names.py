"""One place knows what axes are called; what it does not know is named, never replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from helpers.arrays import Labeled
from helpers.errors import refused

from napari_noiser import (
    choose,
    closed_form,
    denoise,
    diagnose,
    enhance,
    fit_steps,
    report,
)
from napari_noiser.analysis import measure_linearity
from napari_noiser.arrays.axis_names import read_axes
from napari_noiser.arrays.image_array import ImageArray
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe

DYES = np.random.default_rng(0).poisson(5, (2, 40, 48)).astype(np.uint16)
DYES[1] = 50 * DYES[1] + 1000
NAMED = Labeled(DYES, ("ch", "row", "col"))


@pytest.mark.parametrize(
    ("names", "axes"),
    [
        ("tczyx", "TCZYX"),
        (["Time", "Channel", "Z", "Y", "X"], "TCZYX"),
        (["frames", "pln", "row", "col", "ch"], "TZYXC"),
        (["time_point", "z-slice", "rows", "columns"], "TZYX"),
        (["wavelength", "height", "width"], "CYX"),
        (["y", "x", "rgb"], "YXS"),
        (["depth", "row", "column", "samples"], "ZYXS"),
        ([None, "y", "x"], "ZYX"),
        (["dim_0", "z", "y", "x"], "TZYX"),
        (["?", "Y", "X", "S"], "ZYXS"),
        (["?", "S", "Y", "X"], "ZSYX"),
        (["-3", "-2", "-1"], None),
        (["dim_0", "dim_1"], None),
        (["axis 0", "", "axis_2"], None),
    ],
)
def test_every_spelling_is_known(names: Any, axes: str | None) -> None:
    assert read_axes(names) == axes


@pytest.mark.parametrize(
    ("names", "came"),
    [
        (["foo", "y", "x"], "'foo' (axis 0) is not known"),
        (["y", "x", "angle"], "'angle' (axis 2)"),
        (["p", "c", "y", "x"], "positions"),
        (["t", "scene", "y", "x"], "positions"),
        (["R", "Y", "X"], "positions"),
        (["z", "depth", "y", "x"], "two mean the same"),
        (["c", "?", "y", "x"], "some have no name"),
    ],
)
def test_what_is_not_known_is_named(names: list[str], came: str) -> None:
    with refused("axes", "letter of TCZYXS", came):
        read_axes(names)


@pytest.mark.parametrize("verb", [enhance, denoise, closed_form])
def test_a_labeled_array_is_read_by_its_names_and_comes_back_labeled(verb: Any) -> None:
    found = verb(NAMED)
    assert (found.dims, found.name) == (NAMED.dims, NAMED.name)
    np.testing.assert_array_equal(found.data, verb(DYES, axes="CYX"))


@pytest.mark.parametrize("verb", [enhance, denoise, closed_form])
def test_one_of_dask_stays_lazy(verb: Any) -> None:
    lazy = verb(NAMED.copy(data=da.from_array(DYES, chunks=(1, 40, 24))))
    assert isinstance(lazy.data, da.Array)
    assert lazy.dims == NAMED.dims
    np.testing.assert_allclose(lazy.data.compute(), verb(DYES, axes="CYX"), atol=1e-3)


def test_axes_that_are_given_win() -> None:
    odd = Labeled(DYES, ("foo", "y", "x"))
    np.testing.assert_array_equal(enhance(odd, axes="CYX").data, enhance(DYES, axes="CYX"))
    out = np.empty(DYES.shape, np.float32)
    assert enhance(NAMED, out=out) is out


def test_every_entry_knows_the_names() -> None:
    light = denoise(DYES, axes="CYX")
    assert choose(NAMED) == choose(DYES, axes="CYX")
    assert diagnose(NAMED) == diagnose(DYES, axes="CYX")
    assert report(NAMED, light) == report(DYES, light, axes="CYX")
    assert report(NAMED, NAMED.copy(data=light)) == report(DYES, light, axes="CYX")
    assert measure_linearity(NAMED, light) == measure_linearity(DYES, light, axes="CYX")


def test_every_entry_asks_for_names_that_are_not_known() -> None:
    odd = Labeled(DYES, ("p", "y", "x"))
    for entry in (enhance, denoise, closed_form, choose, diagnose):
        with refused("axes", "'p'"):
            entry(odd)
        with refused("axes", "'p'"):
            entry(odd.copy(data=da.from_array(DYES)))
    with pytest.raises(ValueError, match="'p'"):
        report(odd, DYES)
    with refused("axes", "'p'"):
        fit_steps([odd], BlindSpotRecipe())


@pytest.mark.parametrize("lazy", [False, True])
def test_a_mask_is_placed_by_its_names(lazy: bool) -> None:
    image = np.random.default_rng(0).poisson(9, (40, 2, 40)).astype(np.float32)  # Y, C, X
    mask = np.zeros((40, 40), bool)
    mask[:, :20] = True
    turned = Labeled(da.from_array(mask.T) if lazy else mask.T, ("x", "y"))
    data = da.from_array(image, chunks=(20, 1, 40)) if lazy else image
    expected = enhance(data, "noiser", axes="YCX", mask=np.stack([mask] * 2, 1))
    found = enhance(Labeled(data, ("y", "c", "x")), "noiser", mask=turned).data
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))
    with refused("mask", "'ZY'"):
        enhance(image, axes="YCX", mask=Labeled(mask, ("z", "y")))


@pytest.mark.parametrize("names", ["cyx", ["channel", "row", "col"]])
def test_zarr_arrays_name_their_axes(tmp_path: Path, names: Any) -> None:
    new = zarr.create_array(tmp_path / "3.zarr", data=DYES, dimension_names=list(names))
    old = zarr.create_array(tmp_path / "2.zarr", data=DYES, zarr_format=2)
    old.attrs["_ARRAY_DIMENSIONS"] = list(names)
    for array in (new, old):
        assert ImageArray.from_array(array).layout.axes == "CYX"


def test_xarray_itself() -> None:
    xarray = pytest.importorskip("xarray")
    image = xarray.DataArray(DYES, dims=NAMED.dims, coords={"ch": ["a", "b"]}, name="dyes")
    found = enhance(image)
    assert (found.dims, found.name, list(found.ch.values)) == (image.dims, "dyes", ["a", "b"])
    np.testing.assert_array_equal(found.values, enhance(DYES, axes="CYX"))
    lazy = denoise(image.chunk({"col": 24}))
    assert isinstance(lazy.data, da.Array)
    assert lazy.coords.equals(image.coords)
