"""Live layers: measured once, rendered plane by plane as they are shown."""

from __future__ import annotations

import threading

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Points
from napari.settings import get_settings
from same_metadata import assert_same_metadata
from watched import Watched

import napari_noiser as noiser
from napari_noiser._progress import run_with_progress
from napari_noiser.methods.noiser.fold import FoldedSRM
from napari_noiser.plugin.layers.enhance_layer import enhance_layer, live_layer
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.settings import Settings
from napari_noiser.plugin.tasks.generators import enhance_task

PLANES = np.random.default_rng(0).poisson(4, (12, 40, 50)).astype(np.uint16) + 100
ENHANCED = noiser.enhance(PLANES)


def test_it_equals_the_enhanced_layer(dim_stack: Image) -> None:
    live, kept = live_layer(dim_stack, contrast=1.5), enhance_layer(dim_stack, contrast=1.5)
    np.testing.assert_allclose(np.asarray(live.data), kept.data, rtol=0, atol=1e-6)
    assert live.name == kept.name
    assert_same_metadata(live, kept)
    np.testing.assert_array_equal(live.scale, kept.scale)
    assert (live.units, live.axis_labels) == (kept.units, kept.axis_labels)
    np.testing.assert_allclose(live.contrast_limits, kept.contrast_limits, atol=0.05)


def test_a_move_of_the_slider_renders_one_plane() -> None:
    watched = Watched(PLANES)
    layer = live_layer(Image(watched, contrast_limits=(100, 120)))
    viewer = ViewerModel()
    viewer.add_layer(layer)
    watched.read.clear()
    viewer.dims.set_current_step(0, 7)
    assert watched.read == {7: 1}
    np.testing.assert_allclose(layer._slice.image.raw, ENHANCED[7], rtol=0, atol=1e-6)


def test_everything_is_measured_but_not_rendered() -> None:
    watched = Watched(np.random.default_rng(0).poisson(4, (90, 9, 9)).astype(np.uint16))
    live_layer(Image(watched, contrast_limits=(0, 9)))
    assert set(watched.read) == set(range(90))
    # Measured; a few for the limits, and what a new layer shows first.
    assert sum(count > 2 for count in watched.read.values()) < 15


def test_levels_are_live_each_for_itself() -> None:
    image = np.random.default_rng(0).poisson(4, (6, 64, 64)).astype(np.uint16)
    levels = [Watched(image[:, ::step, ::step]) for step in (1, 2, 4)]
    source = Image(levels, multiscale=True, contrast_limits=(0, 20))
    layer = live_layer(source, mask=image[0] > 2)
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [level.shape for level in levels]
    for found, level in zip(layer.data, levels, strict=True):
        step = 64 // level.shape[1]
        expected = noiser.enhance(level.values, mask=(image[0] > 2)[::step, ::step])
        np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=1e-6)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    for level in levels:
        level.read.clear()
    viewer.dims.set_current_step(0, 3)
    assert levels[2].read.keys() == {3}
    assert not levels[0].read


def test_color_stays_color() -> None:
    data = np.random.default_rng(0).integers(0, 20, (5, 30, 40, 3), np.uint8)
    layer = live_layer(Image(data, rgb=True))
    assert layer.rgb
    assert tuple(layer.contrast_limits) == (0, 1)
    viewer = ViewerModel()
    viewer.add_layer(layer)
    viewer.dims.set_current_step(0, 1)
    expected = noiser.enhance(data, axes="TYXS")[1]
    np.testing.assert_allclose(layer._slice.image.raw, expected, rtol=0, atol=1e-6)


def test_volumes_are_rendered_with_the_planes_around() -> None:
    layer = live_layer(Image(PLANES), ndim=3)
    expected = noiser.enhance(PLANES, ndim=3)[5]
    np.testing.assert_allclose(np.asarray(layer.data[5]), expected, rtol=0, atol=1e-6)


def test_a_dask_layer_may_be_live_too() -> None:
    layer = live_layer(Image(da.from_array(PLANES, (4, 20, 50)), contrast_limits=(100, 120)))
    np.testing.assert_allclose(np.asarray(layer.data[5]), ENHANCED[5], rtol=0, atol=1e-6)


def test_what_it_does_not_take_is_refused() -> None:
    with pytest.raises(TypeError, match="out is not taken by live_layer"):
        live_layer(Image(PLANES), out=np.empty(PLANES.shape))
    with pytest.raises(TypeError, match="Image layer, got Points"):
        live_layer(Points(np.zeros((2, 2))))
    with pytest.warns(UserWarning, match="4 times the pixel size"):
        live_layer(Image(PLANES, scale=(4, 1, 1)), ndim=3)


def test_progress_is_of_the_measuring() -> None:
    seen = []
    live_layer(Image(PLANES), progress=lambda done, total: seen.append((done, total)))
    assert seen[-12:] == [(done, 12) for done in range(1, 13)]  # after a look at a few planes


def test_the_job_gives_what_the_console_gives(dim_stack: Image) -> None:
    source = LayerSnapshot.from_layer(dim_stack)
    enhanced = run_with_progress(
        enhance_task(source, Settings(keep="live", options={"dtype": "uint16"})), False, ""
    )
    expected = live_layer(dim_stack, dtype="uint16")
    layer = enhanced.layer(source)
    assert_same_metadata(layer, expected)
    np.testing.assert_array_equal(np.asarray(layer.data), np.asarray(expected.data))


def test_napari_is_left_a_core(monkeypatch) -> None:
    import torch

    monkeypatch.setattr("os.cpu_count", lambda: 3)
    found = []
    layer = live_layer(Image(PLANES), "noiser")
    respond = FoldedSRM.__call__

    def watched(*arguments):
        found.append(torch.get_num_threads())
        return respond(*arguments)

    monkeypatch.setattr(FoldedSRM, "__call__", watched)

    def look() -> None:
        torch.set_num_threads(4)  # as napari's thread finds it on a machine with four cores
        np.asarray(layer.data[0])
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=look)
    before = torch.get_num_threads()
    thread.start()
    thread.join()
    torch.set_num_threads(before)
    assert found == [2, 4]


@pytest.mark.viewer
def test_it_scrolls_with_and_without_asynchronous_slicing(make_napari_viewer_proxy, qtbot) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    layer = live_layer(Image(PLANES, name="cells"))
    viewer.add_layer(layer)
    for asynchronous in (False, True):
        get_settings().experimental.async_ = asynchronous
        for at in (2, 9, 4):
            viewer.dims.set_current_step(0, at)
            qtbot.waitUntil(
                lambda at=at: np.allclose(layer._slice.image.raw, ENHANCED[at], atol=1e-6)
            )
    get_settings().experimental.async_ = False
