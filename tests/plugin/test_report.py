"""A result compared with its image, when somebody asks: histograms, curve, linearity, light."""

from __future__ import annotations

import weakref
from dataclasses import asdict

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image

import napari_noiser as noiser
from napari_noiser._progress import run_with_progress
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.results.statistics import result_statistics
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.generators import enhance_task


def enhanced(layer: Image, **settings) -> TaskResult:
    return run_with_progress(
        enhance_task(LayerSnapshot.from_layer(layer), Settings(**settings)), False, ""
    )


@pytest.mark.parametrize("keep", ["memory", "live", "disk"])
def test_every_result_can_be_asked_how_linear_it_is(dim_stack: Image, keep: str, tmp_path) -> None:
    found = enhanced(dim_stack, keep=keep, results_folder=tmp_path)
    assert not {"linearity", "light"} & found.provenance.keys()
    statistics = found.statistics()
    expected = noiser.analysis.measure_linearity(dim_stack.data, noiser.enhance(dim_stack.data))
    assert asdict(statistics.linearity) == pytest.approx(asdict(expected), abs=1e-4)
    assert statistics.linearity.rank_correlation < 0.99
    assert statistics.light is None
    assert found.statistics() is statistics


def test_light_has_a_report(dim_stack: Image) -> None:
    found = enhanced(dim_stack, verb="denoise")
    assert found.statistics().light.flux == pytest.approx(1, abs=0.1)


def test_a_removed_result_gives_its_memory_back(dim_stack: Image) -> None:
    found = enhanced(dim_stack)
    statistics, data = found.statistics, weakref.ref(found.data)
    del found
    assert data() is None
    with pytest.raises(ValueError, match="Apply again"):
        statistics()


def test_the_statistics_are_of_the_finest_level(tmp_path) -> None:
    image = np.random.default_rng(0).poisson(4, (64, 64)).astype(np.uint16)
    levels = Image([image, image[::2, ::2]], multiscale=True, contrast_limits=(0, 20))
    for keep in ("live", "disk"):
        result = enhanced(levels, keep=keep, results_folder=tmp_path)
        statistics = result.statistics()
        assert statistics.before.counts.sum() == statistics.after.counts.sum() == image.size


def test_histograms_are_in_each_ones_own_units() -> None:
    image = np.arange(60, dtype=np.uint16).reshape(6, 10) + 500
    report = result_statistics(image, (image / 1000).astype(np.float32), "YX")
    assert (report.before.dtype, report.after.dtype) == (np.uint16, np.float32)
    assert report.before.edges[[0, -1]].tolist() == [499.5, 559.5]
    assert report.after.edges[[0, -1]] == pytest.approx([0.5, 0.559])
    assert report.transfer.raw[[0, -1]].tolist() == [500, 559]
    assert report.linearity.rank_correlation == 1


def test_alpha_is_left_out() -> None:
    color = np.random.default_rng(0).integers(0, 100, (8, 9, 4), np.uint8)
    assert result_statistics(color, color, "YXS").before.counts.sum() == 8 * 9 * 3


def test_lazy_parts_are_read_once() -> None:
    image = np.random.default_rng(0).poisson(4, (9, 20, 20)).astype(np.uint16)
    computed = []

    def load(block_id=()) -> np.ndarray:
        computed.append(block_id[0])
        return image[block_id[0]][None]

    chunks = ((1,) * 9, (20,), (20,))
    meta = np.empty((0, 0, 0), image.dtype)
    lazy = da.map_blocks(load, chunks=chunks, dtype=image.dtype, meta=meta)
    result_statistics(lazy, image, "ZYX")
    assert len(computed) == len(set(computed)) == 8
