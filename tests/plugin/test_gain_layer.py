"""Gain maps in layers: taken by the console, at each level, and never read as a whole."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from alike import assert_alike
from napari.layers import Image, Labels
from scenes import counts, light, untrained
from watched import Watched

import napari_noiser as noiser
from napari_noiser.plugin.layers.gain_map import gain_for_level
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.results.reapply import provenance_of

DIM = counts(light()).astype("float32")
FLAT = np.broadcast_to(np.linspace(1, 60, 256), DIM.shape).astype("float32")
OTHER = FLAT[:, ::-1].copy()


@pytest.fixture(scope="module")
def model() -> noiser.recipes.BlindSpotModel:
    return untrained(scales=(4,))


@pytest.mark.parametrize("what", ["numpy", "dask", "watched"])
def test_each_level_that_is_looked_at_has_its_part_of_the_map(
    model: noiser.recipes.BlindSpotModel, what: str
) -> None:
    kinds = {"numpy": lambda each: each, "watched": Watched, "dask": da.from_array}
    levels = [np.stack([DIM[:250]] * 2), np.stack([DIM[:250:2, ::2]] * 2)]
    gain = np.stack([FLAT[:250], OTHER[:250]])
    held = kinds[what](gain)
    layer = Image(levels, multiscale=True, name="pyramid")
    live = noiser.live_layer(layer, model, gain_map=Image(held, name="flat"))
    assert provenance_of(live)["gain_layer"] == "flat"
    if what == "watched":
        for view in live.data:
            np.asarray(view[0])  # how light is shown is found once, from planes of all the stack
        held.read.clear()
    for fine, view, step in zip(levels, live.data, (1, 2), strict=True):
        expected = noiser.enhance(fine, model, gain_map=gain[:, ::step, ::step])
        assert_alike(np.asarray(view[1]), expected[1])
    if what == "watched":
        assert held.read.keys() == {1}  # of the plane that is looked at


@pytest.mark.parametrize("lengths", [(12, 12), (13, 25), (24, 5), (23, 1)])
def test_a_coarse_map_holds_the_nearest(lengths: tuple[int, int]) -> None:
    gain = np.add.outer(100.0 * np.arange(24), np.arange(25))
    fine = np.zeros((3, 24, 25))
    level = np.zeros((3, *lengths))
    source = LayerSnapshot.from_layer(Image([fine, level], multiscale=True))
    found = gain_for_level(gain, *(each.layout for each in source.images()))
    assert found.shape == lengths
    y, x = np.divmod(np.asarray(found), 100)
    assert (np.abs(y.T - np.arange(lengths[0]) * 24 / lengths[0]) < 24 / lengths[0]).all()
    assert (np.abs(x - np.arange(lengths[1]) * 25 / lengths[1]) < 25 / lengths[1]).all()
    assert_alike(found[3:5, -1:], np.asarray(found)[3:5, -1:])
    assert gain_for_level(gain, source.layout(), source.layout()) is gain


def test_the_console_takes_layers(model: noiser.recipes.BlindSpotModel) -> None:
    dim = Image(DIM, name="dim")
    pyramid = Image([FLAT, FLAT[::2, ::2]], multiscale=True, name="flat")
    found = noiser.enhance_layer(dim, model, gain_map=pyramid)
    assert_alike(found.data, noiser.enhance(DIM, model, gain_map=FLAT))
    lazy = noiser.enhance_layer(Image(da.from_array(DIM)), model, gain_map=pyramid)
    assert_alike(np.asarray(lazy.data), found.data)
    assert provenance_of(lazy)["gain_layer"] == "flat"
    turned = noiser.enhance_layer(Image(DIM.T), model, axes="XY", gain_map=Image(FLAT.T))
    assert_alike(turned.data.T, found.data)
    with pytest.raises(ValueError, match="'flat' must hold one number a pixel"):
        noiser.enhance_layer(
            dim, model, gain_map=Image(np.ones((256, 256, 3)), rgb=True, name="flat")
        )
    with pytest.raises(TypeError, match="an array or an Image layer, got Labels 'cells'"):
        noiser.enhance_layer(dim, model, gain_map=Labels(np.ones((256, 256), int), name="cells"))
