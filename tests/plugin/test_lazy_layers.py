"""Layers of dask arrays: shown lazily from the console, computed tile by tile by the widget."""

from __future__ import annotations

from collections import Counter

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

import napari_noiser as noiser
from napari_noiser.plugin.layers.enhance_layer import denoise_layer, enhance_layer
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.generators import enhance_task

PLANES = np.random.default_rng(0).poisson(4, (12, 40, 50)).astype(np.uint16) + 100
ENHANCED = noiser.enhance(PLANES)


@pytest.fixture
def loads() -> Counter[int]:
    return Counter()


@pytest.fixture
def lazy_stack(loads: Counter[int]) -> Image:
    """A layer of lazy planes that counts which are computed."""

    def load(block_id: tuple[int, ...] = ()) -> np.ndarray:
        loads[block_id[0]] += 1
        return PLANES[block_id[0]][None].copy()

    meta = np.empty((0, 0, 0), np.uint16)
    data = da.map_blocks(load, chunks=((1,) * 12, (40,), (50,)), dtype=np.uint16, meta=meta)
    layer = Image(data, name="cells", scale=(2, 0.5, 0.5), contrast_limits=(100, 120))
    loads.clear()
    return layer


def test_a_lazy_layer_gives_a_lazy_layer(lazy_stack: Image) -> None:
    result = enhance_layer(lazy_stack, contrast=1.5)
    assert isinstance(result.data, da.Array)
    assert result.data.dtype == np.float32
    assert result.name == "cells (denoised)"
    np.testing.assert_array_equal(result.scale, (2, 0.5, 0.5))
    expected = noiser.enhance(PLANES, contrast=1.5)
    np.testing.assert_allclose(result.data.compute(), expected, atol=1e-5)
    numpy_layer = enhance_layer(Image(PLANES), contrast=1.5)
    np.testing.assert_allclose(result.contrast_limits, numpy_layer.contrast_limits, atol=0.05)


def test_what_is_not_shown_is_not_rendered(lazy_stack: Image, loads: Counter[int]) -> None:
    result = enhance_layer(lazy_stack, "noiser", fill=None)
    assert set(loads) == set(range(12))
    assert max(loads.values()) == 2
    assert sorted(loads.values()).count(2) == 8  # a sample for the contrast limits
    loads.clear()
    expected = noiser.enhance(PLANES, "noiser")[3]
    np.testing.assert_allclose(np.asarray(result.data[3]), expected, atol=1e-5)
    assert loads == {3: 1}


def test_napari_shows_it(lazy_stack: Image) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(enhance_layer(lazy_stack))
    viewer.dims.set_point(0, 2 * 5)
    np.testing.assert_allclose(layer._slice.image.raw, ENHANCED[5], atol=1e-5)


def test_a_lazy_rgb_layer_stays_rgb(loads: Counter[int]) -> None:
    data = np.random.default_rng(0).integers(0, 20, (30, 40, 3), np.uint8)
    result = enhance_layer(Image(da.from_array(data, (16, 16, 1)), rgb=True))
    assert result.rgb
    assert tuple(result.contrast_limits) == (0, 1)
    np.testing.assert_allclose(result.data.compute(), noiser.enhance(data, axes="YXS"), atol=1e-5)


def test_the_provenance_says_what_was_asked_for(lazy_stack: Image) -> None:
    mask = da.ones((40, 50), dtype=bool)
    made = enhance_layer(lazy_stack, mask=mask, brightness=0.2).metadata["napari_noiser"]
    told = enhance_layer(Image(PLANES, name="cells"), brightness=0.2).metadata["napari_noiser"]
    assert (made.pop("device"), made.pop("mask")) == ("auto", mask.name)
    other = ("device", "mask")
    assert made == {name: told[name] for name in told if name not in other}
    fixed = np.ones((40, 50), bool)
    assert (
        enhance_layer(lazy_stack, mask=fixed).metadata["napari_noiser"]["mask"]
        == enhance_layer(Image(PLANES), mask=fixed).metadata["napari_noiser"]["mask"]
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_what_does_not_count_moves_no_limits(lazy: bool) -> None:
    light = np.linspace(20, 200, 90)[None] * np.ones((80, 1))
    image = np.random.default_rng(0).poisson(light).astype(np.float32)
    mask, fill = np.ones(image.shape, bool), np.zeros(image.shape, bool)
    mask[:20], fill[:, :15] = False, True
    image[~mask], image[fill] = 60000, 65535
    layer = Image(da.from_array(image, 40) if lazy else image)
    for beside in (mask, da.from_array(mask, 30)):
        limits = denoise_layer(layer, mask=beside, fill=65535).contrast_limits
        assert 0 < limits[0] < 80
        assert 150 < limits[1] < 400


def test_out_is_filled_at_once(lazy_stack: Image) -> None:
    out = np.zeros(PLANES.shape, np.float32)
    assert enhance_layer(lazy_stack, out=out).data is out
    np.testing.assert_allclose(out, ENHANCED, atol=1e-5)


def test_the_widgets_job_computes_each_chunk_twice(lazy_stack: Image, loads: Counter[int]) -> None:
    steps = enhance_task(LayerSnapshot.from_layer(lazy_stack), Settings(model="noiser"))
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            enhanced: TaskResult = stop.value
            break
    passes = [event.done for event in events if event.stage != "calibrate"]
    assert passes == list(range(1, 25))
    assert isinstance(enhanced.data, np.ndarray)
    np.testing.assert_allclose(enhanced.data, noiser.enhance(PLANES, "noiser"), atol=1e-5)
    assert set(loads.values()) == {2, 3}  # some are looked at before
    before = loads.total()
    enhanced.statistics()
    assert before < loads.total()  # a sample once more
    loads.clear()
    canceled = enhance_task(LayerSnapshot.from_layer(lazy_stack), Settings(model="noiser"))
    next(canceled)
    canceled.close()
    assert max(loads.values()) == 1
