"""An image that brings a mask is refused wherever the mask would be dropped."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest
from helpers.arrays import Labeled, WithMask
from helpers.errors import refused

from napari_noiser import (
    camera,
    choose,
    closed_form,
    denoise,
    diagnose,
    enhance,
    fit_steps,
    report,
)
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe

IMAGE = np.random.default_rng(0).poisson(5, (64, 64)) + 100.0
BAD = np.zeros(IMAGE.shape, bool)
BAD[30:40, 30:40] = True
MASKED = np.ma.array(IMAGE, mask=BAD)

BRINGING = {
    "numpy.ma": MASKED,
    "beside": WithMask(IMAGE, BAD),
    "list": [MASKED] * 2,
    "list of beside": [WithMask(IMAGE), WithMask(IMAGE, BAD)],
    "nested": ([IMAGE, IMAGE], [IMAGE, MASKED]),
    "dask": da.ma.masked_greater(da.from_array(IMAGE, chunks=32), 110),
    "dask of masked": da.from_array(MASKED, asarray=False),
    "labeled": Labeled(MASKED, ("y", "x")),
}


@pytest.mark.parametrize("image", BRINGING.values(), ids=BRINGING)
@pytest.mark.parametrize("entry", [enhance, denoise, closed_form, choose, diagnose])
def test_it_is_refused_by_every_entry(entry: Any, image: Any) -> None:
    with refused("image", "mask=", error=TypeError):
        entry(image)


@pytest.mark.parametrize("kind", ["numpy.ma", "beside", "dask", "labeled"])
def test_it_is_refused_by_fits_reports_and_beside_images(kind: str) -> None:
    image = BRINGING[kind]
    for images in (image, [IMAGE, image]):
        with refused("image", error=TypeError):
            fit_steps(images, BlindSpotRecipe())
    with refused("raw", error=TypeError):
        report(image, IMAGE)
    with refused("result", error=TypeError):
        report(IMAGE, image)
    with refused("image", error=TypeError):
        enhance(image, out=np.empty(IMAGE.shape, np.float32))


def test_masks_do_not_bring_masks() -> None:
    for bringing in (np.ma.array(BAD, mask=BAD), WithMask(BAD, BAD)):
        with refused("mask", error=TypeError):
            enhance(IMAGE, mask=bringing)


@pytest.mark.parametrize("image", [MASKED, [MASKED] * 2, WithMask(IMAGE, BAD)])
def test_cameras_refuse_it(image: Any) -> None:
    with refused("image", error=TypeError):
        camera.estimate_noise(image)


@pytest.mark.parametrize(
    "image", [np.ma.array(IMAGE), np.ma.array(IMAGE, mask=False), WithMask(IMAGE)]
)
def test_a_mask_that_leaves_nothing_out_says_nothing(image: Any) -> None:
    np.testing.assert_array_equal(enhance(image), enhance(IMAGE))
