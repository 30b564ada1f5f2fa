"""A fit hears mask and fill: what does not count is not learned from, nor is a neighbor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import zarr
from helpers.errors import refused
from helpers.models import QUICK
from helpers.scenes import NOISE, counts, light
from numpy.typing import NDArray

from napari_noiser import fit
from napari_noiser._errors import InputError
from napari_noiser.methods.weights import fingerprint
from napari_noiser.recipes import IRLERecipe, RetinexRecipe

SHAPE = (256, 300)
IMAGE = np.round(counts(light(SHAPE))).astype("float32")
ROWS, COLUMNS = np.indices(SHAPE)
RANDOM = np.random.default_rng(0)

MASKS: dict[str, NDArray[np.bool_]] = {
    "a half": COLUMNS < 150,
    "a disc": (ROWS - 128) ** 2 + (COLUMNS - 150) ** 2 < 100**2,
    "bad pixels": RANDOM.random(SHAPE) > 0.01,
    "a corner": (ROWS < 90) & (COLUMNS > 200),
}
RECIPES: dict[str, Any] = {
    "blind spot": replace(QUICK, iterations=3),
    "retinex": RetinexRecipe(iterations=2, crop=64, batch=2),
    "both": IRLERecipe(
        retinex=RetinexRecipe(iterations=1, crop=64, batch=2),
        denoiser=replace(QUICK, gain="given"),
    ),
}


def weights(images: Any, recipe: Any = RECIPES["blind spot"], **options: Any) -> str:
    model = fit(images, recipe, device="cpu", **options)
    return str(model.describe())


@pytest.mark.parametrize(
    ("recipe", "mask", "value"),
    [
        ("blind spot", "a half", 0.0),
        ("blind spot", "a disc", np.nan),
        ("blind spot", "bad pixels", 60000.0),
        ("blind spot", "a corner", -9999.0),
        ("retinex", "bad pixels", np.nan),
        ("retinex", "a half", 60000.0),
        ("both", "bad pixels", 60000.0),
        ("both", "a disc", 0.0),
    ],
)
def test_a_masked_out_value_has_no_influence(recipe: str, mask: str, value: float) -> None:
    counted = MASKS[mask]
    spoiled = np.where(counted, IMAGE, np.float32(value))
    found = [weights(each, RECIPES[recipe], mask=counted) for each in (IMAGE, spoiled)]
    assert found[0] == found[1]


@pytest.mark.parametrize("put", [np.asarray, lambda mask: zarr.array(mask, chunks=(64, 64))])
def test_masks_of_any_kind_are_heard(put: Callable[[Any], Any]) -> None:
    counted = MASKS["a disc"]
    expected = weights([IMAGE, IMAGE], mask=[counted, MASKS["a half"]])
    spoiled = np.where(counted, IMAGE, 9e4)
    assert weights([spoiled, IMAGE], mask=[put(counted), put(MASKS["a half"])]) == expected
    assert weights([IMAGE, IMAGE]) != expected


@pytest.mark.parametrize("ndim", [2, 3])
def test_planes_that_a_mask_leaves_out_are_not_seen(ndim: int) -> None:
    stack = np.round(counts(light((6, 128, 128)))).astype("float32")
    counted = np.ones(stack.shape, bool)
    counted[4:] = False
    counted[:, :, 100:] = False
    found = weights(stack, ndim=ndim, mask=counted)
    assert weights(np.where(counted, stack, 7e4), ndim=ndim, mask=counted) == found


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("recipe", ["blind spot", "retinex"])
def test_fill_is_not_learned_from(recipe: str, value: int) -> None:
    """Where it stands is left out: what it is does not matter."""
    image = IMAGE.astype("uint16")
    border = ~MASKS["a disc"]
    options: dict[str, Any] = {"camera": NOISE}
    filled = weights(np.where(border, np.uint16(value), image), RECIPES[recipe], **options)
    other = np.where(border, np.uint16(7), image)
    assert weights(other, RECIPES[recipe], fill=7, **options) == filled
    assert weights(other, RECIPES[recipe], fill=None, **options) != filled


def test_a_mask_that_leaves_out_nothing_changes_nothing() -> None:
    expected = fit(IMAGE, RECIPES["blind spot"], device="cpu")
    found = fit(IMAGE, RECIPES["blind spot"], device="cpu", mask=np.ones(SHAPE, bool))
    assert fingerprint(found.weights) == fingerprint(expected.weights)  # type: ignore[union-attr]


@pytest.mark.parametrize("left", [0, 1, 20])
def test_a_mask_that_leaves_nearly_nothing_is_refused(left: int) -> None:
    counted = np.zeros(SHAPE, bool)
    counted[:left, :left] = True
    with pytest.raises(InputError):
        fit(IMAGE, RECIPES["blind spot"], camera=NOISE, mask=counted, device="cpu")


def test_there_is_one_mask_an_image() -> None:
    with refused("mask"):
        fit([IMAGE, IMAGE], QUICK, mask=MASKS["a half"], device="cpu")
