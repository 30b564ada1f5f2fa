"""What does not count tells nothing of the hot and dead pixels beside it."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from helpers.compare import assert_alike
from helpers.scenes import NOISE, counts, light
from numpy.typing import NDArray

from napari_noiser import denoise, enhance
from napari_noiser.camera.outliers import find_outliers, repair_outliers

OPTIONS: dict[str, Any] = {"camera": NOISE, "device": "cpu", "dtype": "float64"}


def scene() -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return an image with hot and dead pixels beside ones that a mask leaves out."""
    image = np.round(counts(light((200, 180))))
    mask = np.ones(image.shape, bool)
    for y, x in ((50, 60), (120, 20), (0, 90)):
        image[y, x] = 30000
        mask[y : y + 3, x + 1] = False
    image[150, 150], mask[149:152, 151:153] = 0, False
    return image, mask


@pytest.mark.parametrize("value", [0.0, 900.0, 60000.0])
@pytest.mark.parametrize("dtype", ["float64", "uint16"])
def test_a_repair_is_that_beside_nan(value: float, dtype: str) -> None:
    image, mask = scene()
    unknown = np.where(mask, image, np.nan)
    expected = repair_outliers(unknown, NOISE)
    spoiled = np.where(mask, image, value).astype(dtype)
    np.testing.assert_array_equal(
        find_outliers(spoiled, NOISE, mask=mask),
        find_outliers(np.where(mask, image, np.nan), NOISE),
    )
    found = repair_outliers(spoiled, NOISE, mask=mask)
    assert found.dtype == dtype
    assert np.abs(found - expected)[mask].max() <= (0.5 if dtype == "uint16" else 0)
    np.testing.assert_array_equal(found[~mask], spoiled[~mask])


@pytest.mark.parametrize("value", [0.0, 60000.0])
@pytest.mark.parametrize("chunks", [None, 70])
def test_statistics_do_not_hear_what_stands_beside_a_repaired_pixel(
    value: float, chunks: int | None
) -> None:
    image, mask = scene()
    halo = 3 + 2 + 1  # of the repair, and of the network
    far = np.ones(image.shape, bool)
    for y, x in np.argwhere(~mask):
        far[max(0, y - halo) : y + halo, max(0, x - halo) : x + halo] = False
    assert far.mean() > 0.9
    spoiled = np.where(mask, image, value)
    given = (each if chunks is None else da.from_array(each, chunks) for each in (image, spoiled))
    before, after = (np.asarray(enhance(each, "noiser", mask=mask, **OPTIONS)) for each in given)
    np.testing.assert_array_equal(after[far], before[far])


def test_a_pixel_is_repaired_alike_in_tiles_and_lazily_beside_a_mask() -> None:
    image, mask = scene()
    whole = denoise(image, mask=mask, **OPTIONS)
    assert_alike(denoise(image, mask=mask, tile=48, **OPTIONS), whole, 1e-4)
    lazy = da.from_array(image, 90)
    assert_alike(np.asarray(denoise(lazy, mask=mask, **OPTIONS)), whole, 1e-4)
    assert_alike(np.asarray(denoise(lazy, mask=da.from_array(mask, 60), **OPTIONS)), whole, 1e-4)


@pytest.mark.parametrize("fill", [0, 65535])
def test_a_hot_pixel_beside_fill_is_repaired(fill: int) -> None:
    image = np.round(counts(light((160, 160))))
    image[:, :40] = fill
    clean = enhance(image.astype("uint16"), **OPTIONS)
    spoiled = image.copy()
    spoiled[80, 42] = 40000
    found = enhance(spoiled.astype("uint16"), **OPTIONS)
    assert np.abs(found - clean).max() < 0.1
