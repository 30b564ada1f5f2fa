"""A measured image: every model, slider and exposure is shown without measuring it again."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from watched import Watched

import napari_noiser as noiser
from napari_noiser._progress import run_with_progress
from napari_noiser.methods.noiser.fold import FoldedSRM
from napari_noiser.plugin.layers.snapshot import LayerSnapshot
from napari_noiser.plugin.tasks.preview_cache import measure

rng = np.random.default_rng(0)
PLANES = rng.poisson(np.linspace(2, 9, 12)[:, None, None], (12, 40, 50)).astype(np.uint16) + 100


def test_one_measurement_serves_every_model_slider_and_exposure() -> None:
    watched = Watched(PLANES)
    measured = run_with_progress(
        measure(LayerSnapshot.from_layer(Image(watched, contrast_limits=(0, 9)))), False, ""
    )
    assert watched.read.keys() == set(range(12))
    watched.read.clear()
    for model, statistics, brightness, contrast in (
        ("noiser", "stack", 0, 1),
        ("noiser-es", "plane", 0.5, 2),
        ("noiser-var3", "volume", -1, 0.3),
    ):
        options = {"statistics": statistics, "brightness": brightness, "contrast": contrast}
        (view,) = measured.render(model, **options).levels
        expected = noiser.enhance(PLANES, model, **options)
        for at in (3, 9):
            found = np.asarray(view[at])
            np.testing.assert_allclose(found, expected[at], rtol=0, atol=1e-6)
    assert watched.read.keys() == {3, 9}


def test_color_and_volumes_are_measured_for_every_exposure_too() -> None:
    color = rng.integers(0, 40, (3, 30, 40, 3), np.uint8) + np.uint8([[[0, 50, 90]]])
    measured = run_with_progress(
        measure(LayerSnapshot.from_layer(Image(color, rgb=True), "TYXS"), "noiser"), False, ""
    )
    for statistics in ("stack", "plane"):
        (view,) = measured.render("noiser", statistics=statistics, contrast=2).levels
        expected = noiser.enhance(color, "noiser", axes="TYXS", statistics=statistics, contrast=2)
        np.testing.assert_allclose(np.asarray(view), expected, rtol=0, atol=1e-6)
    series = PLANES.reshape(3, 4, 40, 50)
    measured = run_with_progress(
        measure(LayerSnapshot.from_layer(Image(series)), "noiser", ndim=3), False, ""
    )
    for statistics in ("stack", "volume"):
        (view,) = measured.render("noiser", statistics=statistics).levels
        expected = noiser.enhance(series, "noiser", ndim=3, statistics=statistics)[1, 2]
        np.testing.assert_allclose(np.asarray(view[1, 2]), expected, rtol=0, atol=1e-6)


SPOILT = np.where(PLANES % 9, PLANES, np.nan)
SPOILT[2] = 7  # no signal: flat, however bright
IMAGES = {
    "bad values": (SPOILT, {"axes": "ZYX", "statistics": "plane"}, ...),
    "RGBA": (rng.integers(0, 40, (30, 40, 4), np.uint8), {"axes": "YXS"}, ...),
    "volumes": (PLANES.reshape(2, 6, 40, 50), {"axes": "TZYX", "ndim": 3}, (1, 4)),
}


@pytest.mark.filterwarnings("ignore:no signal in 1 of 12")
@pytest.mark.parametrize("name", IMAGES)
def test_brightness_and_contrast_need_no_network(name: str, monkeypatch) -> None:
    image, options, at = IMAGES[name]
    axes, ndim = options["axes"], options.get("ndim", 2)
    source = LayerSnapshot.from_layer(Image(image, rgb="S" in axes, contrast_limits=(0, 99)), axes)
    measured = run_with_progress(measure(source, "noiser", ndim=ndim), False, "")
    statistics = options.get("statistics", "stack")
    for number, tone in enumerate(
        ({}, {"brightness": 0.5}, {"contrast": 2.0, "dtype": "uint8"}, {"brightness": -0.5})
    ):
        expected = noiser.enhance(image, "noiser", **options, **tone)[at]
        with monkeypatch.context() as patched:
            if number:
                patched.delattr(FoldedSRM, "__call__")
            (view,) = measured.render("noiser", statistics=statistics, **tone).levels
            found = np.asarray(view[at])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_an_empty_plane_is_no_reason_to_warn() -> None:
    planes = PLANES.copy()
    planes[4] = 0
    measured = run_with_progress(
        measure(LayerSnapshot.from_layer(Image(planes))), False, ""
    )  # warnings are errors
    (view,) = measured.render("noiser").levels
    np.testing.assert_allclose(
        np.asarray(view[4]), noiser.enhance(planes, "noiser")[4], rtol=0, atol=1e-6
    )
    with pytest.raises(ValueError, match="no patch to measure"):
        run_with_progress(
            measure(LayerSnapshot.from_layer(Image(np.full((8, 8), np.nan)))), False, ""
        )
