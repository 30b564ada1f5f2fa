"""Colors: a cast is removed like a lack of light, or kept, by statistics of all samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from helpers.compare import assert_same, largest_difference
from helpers.errors import refused
from helpers.models import PAPER
from helpers.scenes import scene

from napari_noiser import RECIPES, closed_form, enhance, load_model, train
from napari_noiser.engine.plan import make_plan
from napari_noiser.files.writers.ome_tiff import OmeTiff
from napari_noiser.io import enhance_to_file

CAST = np.array([6, 2, 1])
PHOTO = scene((40, 45, 3)) * CAST + 20
VOLUME = scene((5, 20, 22, 3)) * CAST


def as_planes(photo: np.ndarray) -> np.ndarray:
    return np.moveaxis(photo, -1, 0)


@pytest.mark.parametrize("model", ["noiser", "noiser-var3"])
def test_samples_are_rendered_as_planes_of_one_group(model: str) -> None:
    kept = enhance(PHOTO, model, axes="YXS", colors="kept", brightness=0.2, contrast=1.3)
    planes = enhance(as_planes(PHOTO), model, axes="ZYX", brightness=0.2, contrast=1.3)
    assert largest_difference(as_planes(kept), planes) < 1e-6


def test_and_those_of_volumes_as_volumes() -> None:
    kept = enhance(VOLUME, "noiser", axes="ZYXS", ndim=3, colors="kept")
    assert largest_difference(as_planes(kept), enhance(as_planes(VOLUME), "noiser", ndim=3)) < 1e-6


def test_so_does_the_closed_form() -> None:
    kept = closed_form(PHOTO, axes="YXS", colors="kept")
    assert largest_difference(as_planes(kept), closed_form(as_planes(PHOTO))) < 1e-6
    lazy = closed_form(da.from_array(PHOTO, chunks=(15, 20, 1)), axes="YXS", colors="kept")
    assert largest_difference(lazy.compute(), kept) < 1e-6


def test_gray_stays_gray() -> None:
    gray = np.repeat(PHOTO[..., :1], 3, axis=-1)
    kept = enhance(gray, "noiser", axes="YXS", colors="kept")
    assert np.ptp(kept, axis=-1).max() == 0
    assert_same(kept[..., 0], enhance(gray[..., 0], "noiser"))


def test_a_cast_stays_where_balanced_removes_it() -> None:
    red, green, blue = np.median(enhance(PHOTO, "noiser", axes="YXS", colors="kept"), axis=(0, 1))
    assert red > green + 0.1 > blue + 0.1
    paper = train(replace(PAPER, size=48), samples=3, device="cpu")
    balanced = np.median(enhance(PHOTO, paper, axes="YXS"), axis=(0, 1))
    assert np.ptp(balanced) < 0.05
    balanced = np.median(enhance(PHOTO, "noiser", axes="YXS"), axis=(0, 1))
    assert np.ptp(balanced) < 0.3 * (red - blue)


def test_a_file_holds_the_same(tmp_path: Path) -> None:
    path = enhance_to_file(PHOTO, tmp_path / "kept.tif", "noiser", axes="YXS", colors="kept")
    whole = enhance(PHOTO, "noiser", axes="YXS", colors="kept")
    assert_same(OmeTiff.open(path, "YXS").levels[0][:], whole)


def test_each_channel_has_its_own_statistics() -> None:
    stack = np.stack([PHOTO, scene((40, 45, 3), seed=1)])
    kept = enhance(stack, "noiser", axes="CYXS", colors="kept")
    for one, other in zip(kept, stack, strict=True):
        assert_same(one, enhance(other, "noiser", axes="YXS", colors="kept"))


def test_alpha_passes_through() -> None:
    alpha = np.linspace(0, 255, 40 * 45).reshape(40, 45, 1)
    photo = np.concatenate([PHOTO.clip(0, 255), alpha], axis=-1).astype(np.uint8)
    kept = enhance(photo, "noiser", axes="YXS", colors="kept")
    assert_same(kept[..., :3], enhance(photo[..., :3], "noiser", axes="YXS", colors="kept"))
    np.testing.assert_allclose(kept[..., 3], photo[..., 3] / 255, atol=1e-6)


def test_a_model_of_one_channel_is_taken() -> None:
    model = train(replace(RECIPES["noiser"], iterations=9), seed=3)
    kept = enhance(PHOTO, model, axes="YXS", colors="kept")
    assert largest_difference(as_planes(kept), enhance(as_planes(PHOTO), model)) < 1e-6


def test_of_a_gray_image_there_is_nothing_to_keep() -> None:
    assert_same(enhance(PHOTO[..., 0], "noiser", colors="kept"), enhance(PHOTO[..., 0], "noiser"))
    single = PHOTO[..., :1]
    assert_same(
        enhance(single, "noiser", axes="YXS", colors="kept"), enhance(single, "noiser", axes="YXS")
    )


def test_what_does_not_fit_is_refused() -> None:
    color, gray = load_model("noiser", samples=3), load_model("noiser")
    with refused("model", "samples=1", "sees 3"):
        enhance(PHOTO, color, axes="YXS", colors="kept")
    with refused("model", "samples=3", "colors='kept'"):
        enhance(PHOTO, gray, axes="YXS")
    with refused("colors", "'kept'", "'x'"):
        enhance(PHOTO, "noiser", axes="YXS", colors="x")


def test_the_provenance_says_so() -> None:
    kept = make_plan(PHOTO, "noiser", axes="YXS", colors="kept").describe()
    assert (kept["colors"], kept["samples"]) == ("kept", 1)
    assert kept["fingerprint"] == load_model("noiser").fingerprint
    assert make_plan(PHOTO, "noiser", axes="YXS").describe()["colors"] == "balanced"
