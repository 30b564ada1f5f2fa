"""dask.distributed: a cluster of two worker processes gives what memory would."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dask.array as da
import numpy as np
import pytest
from helpers.compare import largest_difference
from helpers.errors import refused
from helpers.scenes import scene

from napari_noiser import closed_form, enhance
from napari_noiser.engine.dask_graph import make_lazy_plan

distributed = pytest.importorskip("distributed")

PATIENCE = 240  # seconds: workers import torch, perhaps on a busy machine


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, timeout=PATIENCE) as client,
    ):
        client.wait_for_workers(2, timeout=PATIENCE)
        yield client


@pytest.mark.parametrize(
    ("shape", "chunks", "options"),
    [
        ((4, 70, 81), (2, 32, 33), {}),
        ((4, 70, 81), (1, 70, 40), {"statistics": "plane", "dtype": "uint16"}),
        ((9, 40, 41), (1, 20, 41), {"ndim": 3}),
        ((2, 60, 61, 4), (1, 30, 30, 2), {"axes": "TYXS", "contrast": 2.0}),
    ],
)
def test_two_workers_give_the_same(
    client: Any, shape: tuple[int, ...], chunks: tuple[int, ...], options: dict[str, Any]
) -> None:
    image = scene(shape, dtype="int64")
    lazy = enhance(da.from_array(image, chunks), "noiser", **options)
    found = client.compute(lazy).result(timeout=PATIENCE)
    step = 1 if found.dtype.kind == "u" else 1e-5  # a whole number may round the other way
    assert largest_difference(found, enhance(image, "noiser", **options)) <= step


def test_both_workers_take_part(client: Any) -> None:
    image = da.from_array(scene((64, 32, 32)), (1, 32, 32))
    blocks = client.persist(enhance(image, "noiser"))
    distributed.wait(blocks, timeout=PATIENCE)
    assert len(client.has_what()) == 2
    assert all(client.has_what().values())


def test_a_mask_and_bad_values(client: Any) -> None:
    image = scene((3, 50, 51))
    image[1, 20:23, 30] = np.nan
    mask = np.random.default_rng(0).random((50, 51)) < 0.9
    lazy = enhance(da.from_array(image, (1, 25, 25)), "noiser", mask=da.from_array(mask, 20))
    found = client.compute(lazy).result(timeout=PATIENCE)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(image))
    expected = np.nan_to_num(enhance(image, "noiser", mask=mask))
    assert largest_difference(np.nan_to_num(found), expected) < 1e-5


def test_an_image_that_lies_on_the_workers(client: Any) -> None:
    image = scene((3, 50, 52))
    there = client.persist(da.from_array(image, (1, 25, 26)))
    for enhanced, expected in (
        (enhance(there, "noiser"), enhance(image, "noiser")),
        (make_lazy_plan(there, "noiser").measured().result(), enhance(image, "noiser")),
        (closed_form(there), closed_form(image)),
    ):
        found = client.compute(enhanced).result(timeout=PATIENCE)
        assert largest_difference(found, expected) < 1e-5


def test_an_error_comes_home(client: Any) -> None:
    lazy = enhance(da.full((20, 21), np.nan, chunks=10), "noiser")
    with refused("image"):
        client.compute(lazy).result(timeout=PATIENCE)
