"""What a gain, a mask, NaN and flat images do, and what comes out: alike for every method."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from helpers.cases import CASES, Case
from helpers.compare import assert_alike
from helpers.scenes import NOISE
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from napari_noiser.camera import CameraNoise
from napari_noiser.camera.outliers import REACH
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.options import verb_options


@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0.0), (300.0, 7000.0), (1.0, -60.0)])
@pytest.mark.parametrize("name", [name for name, each in CASES.items() if not each.absolute])
def test_gain_and_offset_of_the_camera(name: str, gain: float, offset: float) -> None:
    """A display does not depend on them, and light follows them."""
    case = CASES[name]
    moved = CameraNoise(gain * NOISE.gain, gain * NOISE.offset + offset, NOISE.read_noise)
    options = {"dtype": "float64", "repair": False}
    image = case.image().astype("float64")
    expected = case.run(image, **options)
    if case.verb == "denoise":
        expected = gain * expected + offset
    estimated = case.options.get("camera") == "auto"
    found = case.with_camera(moved).run(gain * image + offset, **options)
    assert_alike(found, expected, 1e-3 if estimated else 1e-4)


def spoiled(case: Case) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return an image with holes near a corner of each plane, and where they are."""
    image = case.image().astype("float32")
    bad = np.zeros([n for a, n in zip(case.axes, image.shape, strict=True) if a != "S"], bool)
    bad[..., 2, 3] = bad[..., 0, 1] = True
    image[bad] = np.nan
    return image, bad


def at(case: Case, y: int, x: int) -> tuple[Any, ...]:
    """Return the index of a pixel in all planes."""
    return tuple({"Y": y, "X": x}.get(letter, slice(None)) for letter in case.axes)


def test_what_is_not_finite_passes_through(case: Case) -> None:
    image, _ = spoiled(case)
    image[at(case, 6, 9)], image[at(case, 25, 20)] = np.inf, -np.inf
    found, finite = case.run(image), np.isfinite(image)
    np.testing.assert_array_equal(found[~finite], image[~finite])
    assert np.isfinite(found[finite]).all()
    assert_alike(case.run(image, tile=case.tiles[1])[finite], found[finite], case.within)


def test_a_mask_does_what_nan_does(case: Case, whole: Any) -> None:
    """No patch that touches a bad pixel counts: nor does one that a mask leaves out."""
    options = {"camera": NOISE} if case.options.get("camera") == "auto" else {}
    options |= {"background": "gray"} if case.options.get("background") else {}
    image, bad = spoiled(case)
    plane = bad if case.ndim == bad.ndim else bad[0]

    def within(reach: tuple[int, ...]) -> NDArray[np.bool_]:
        return maximum_filter(plane, [2 * far + 1 for far in reach], mode="constant")

    halo = case.plan(image).halo
    near = within((*halo[:-2], *(far + REACH + 1 for far in halo[-2:])))
    far = np.broadcast_to(~near, bad.shape)
    assert far.any()
    masked = case.run(np.nan_to_num(image, nan=100), mask=~plane, **options)
    assert_alike(masked[far], case.run(image, **options)[far], case.within)


def test_a_mask_decides_what_counts_and_no_more(case: Case, whole: Any) -> None:
    image = case.image()
    mask = np.zeros([n for a, n in zip(case.axes, image.shape, strict=True) if a != "S"], bool)
    assert_alike(case.run(image, mask=~mask), whole, case.within)
    mask[..., mask.shape[-1] // 2 :] = True
    found = case.run(image, mask=mask)
    assert np.isfinite(found).all()
    if case.verb == "enhance" and not case.absolute:
        assert np.abs(found - whole).max() > 0.01
    assert_alike(case.run(image, mask=mask, tile=case.tiles[1]), found, case.within)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16"])
def test_the_type_of_the_result(case: Case, whole: Any, dtype: str) -> None:
    """Integers span their range in a display; light is rounded, and clipped to what they hold."""
    found = case.run(case.image(), dtype=dtype)
    assert (found.dtype, found.shape) == (dtype, whole.shape)
    if found.dtype.kind == "f":
        assert_alike(found, whole, case.within)
        return
    most = float(np.iinfo(dtype).max)
    expected = whole * most if case.verb == "enhance" else whole.clip(0, most)
    assert np.abs(found - expected).max() <= 0.5 + case.within * np.abs(expected).max()


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_out_is_filled_and_returned(case: Case, dtype: str) -> None:
    around = np.full((2, *case.shape), 7, dtype)
    out = around[1]
    assert case.run(case.image(), out=out) is out
    np.testing.assert_array_equal(out, case.run(case.image(), dtype=dtype))
    assert (around[0] == 7).all()


def test_it_comes_out_the_same_every_time_and_the_image_stays(case: Case, whole: Any) -> None:
    image = case.image()
    before = image.copy()
    found = case.run(image, tile=1000)
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(found, image)


def test_the_provenance_makes_the_same_array_again(case: Case) -> None:
    """What is recorded passes through JSON, and is enough but for arrays beside the image."""
    image = case.image()
    said = json.loads(json.dumps(calibrate(case.plan(image)).describe()))
    assert said["verb"] == case.verb
    assert {"napari-noiser", "torch", "numpy"} <= set(said["versions"])
    options = {
        name: option.from_json(said[name])
        for name, option in verb_options(case.verb).items()
        if option.recorded
    }
    beside = {name: case.options.get(name) for name in ("mask", "gain_map")}
    for name, array in beside.items():
        assert (options[name] is None) == (array is None)
    assert_alike(case.run(image, **{**options, **beside}), case.run(image), 1e-7)


def test_the_provenance_tells_models_apart(case: Case) -> None:
    said = case.plan(case.image()).describe()
    assert said["samples"] in (1, 3)
    assert said.get("fingerprint") or said["recipe"] == "closed form"


def test_a_flat_image_has_no_signal(case: Case) -> None:
    """It comes out flat, light as it was, and a warning says so."""
    flat = np.full(case.shape, 130, "uint16")
    with pytest.warns(UserWarning, match="no signal"):
        found = case.run(flat)
    assert np.ptp(found) == 0
    if case.verb == "denoise":
        np.testing.assert_allclose(found, 130, rtol=1e-6)
