"""Scales put together: any tile equals the whole, and coarse structure is seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, uniform_filter

from napari_noiser import denoise, enhance, load_model, train
from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.model import NoiserModel
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.recomposition import (
    binned_moments,
    fold_recomposed,
    recomposed_radius,
)

QUICK = Recipe(
    name="quick", exposure=PhotonNoise(), iterations=2, width=3, scales=(4,), size=16, coarser=1
)


def recomposed(coarser: int) -> NoiserModel:
    model = load_model("structured-tiny")
    assert isinstance(model, NoiserModel)
    return replace(model, recipe=replace(model.recipe, coarser=coarser))


def moments(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the moments of all 3x3 patches of an image."""
    patches = np.lib.stride_tricks.sliding_window_view(image, (3, 3)).reshape(-1, 9)
    return patches.mean(axis=0), np.cov(patches.T, bias=True)


def binned(image: np.ndarray) -> np.ndarray:
    rows, columns = (length // 2 for length in image.shape)
    return image[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))


def scene(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    light = gaussian_filter(random.standard_normal(shape), 4.0)
    return random.poisson(30 + 25 * light / np.abs(light).max()).astype(np.uint16)


@pytest.mark.parametrize("coarser", [1, 2])
@pytest.mark.parametrize("shape", [(97, 131), (40, 64), (7, 90), (1, 30), (2, 2)])
def test_any_tile_equals_the_whole(coarser: int, shape: tuple[int, int]) -> None:
    image, model = scene(shape), recomposed(coarser)
    options = {"camera": None, "dtype": "float64", "device": "cpu"}
    whole = denoise(image, model, **options)
    assert np.isfinite(whole).all()
    for tile in (16, 33, 50):
        parts = denoise(image, model, tile=tile, **options)
        np.testing.assert_allclose(parts, whole, atol=2e-5 * np.ptp(image))


def test_of_a_stack_planes_are_recomposed_alone() -> None:
    stack, model = scene((3, 48, 50)), recomposed(1)
    options = {"camera": None, "statistics": "plane", "dtype": "float64", "device": "cpu"}
    for plane, found in zip(stack, denoise(stack, model, **options), strict=True):
        np.testing.assert_allclose(found, denoise(plane, model, **options), atol=1e-3)


def test_gain_and_offset_do_not_matter() -> None:
    image, model = scene((60, 70)).astype(np.float64), recomposed(2)
    options = {"camera": None, "repair": False, "dtype": "float64", "device": "cpu"}
    light = denoise(image, model, **options)
    other = denoise(1e3 * image + 1e5, model, **options)
    np.testing.assert_allclose((other - 1e5) / 1e3, light, atol=1e-3 * np.ptp(image))
    shown = enhance(image, model, camera=None, repair=False, device="cpu")
    np.testing.assert_allclose(
        shown,
        enhance(1e3 * image + 1e5, model, camera=None, repair=False, device="cpu"),
        atol=1e-3,
    )


def test_faint_wide_structure_is_seen_better() -> None:
    random = np.random.default_rng(0)
    light = gaussian_filter(random.standard_normal((256, 256)), 12.0)
    light /= light.std()
    image = light + 6 * random.standard_normal(light.shape)
    errors = [
        np.square(denoise(image, recomposed(at), camera=None, device="cpu") - light).mean()
        for at in (0, 1)
    ]
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("width", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("noise", [0.3, 3.0])
def test_moments_of_the_binned_image_follow_from_those_of_the_image(
    width: float, noise: float
) -> None:
    random = np.random.default_rng(1)
    light = random.standard_normal((800, 800))
    if width:
        light = gaussian_filter(light, width)
    image = 7 + light / light.std() + noise * random.standard_normal(light.shape)
    mean, covariance = binned_moments(*moments(image))
    true_mean, true = moments(binned(image))
    np.testing.assert_allclose(mean, true_mean, atol=0.05)
    np.testing.assert_allclose(covariance, true, atol=0.25 * true[0, 0])
    assert np.linalg.eigvalsh(covariance).min() > -0.1 * true[0, 0]


def test_moments_of_several_samples_are_binned_pair_by_pair() -> None:
    random = np.random.default_rng(2)
    red = uniform_filter(random.standard_normal((300, 300)), 5)
    planes = [red, 2 * red + 0.1 * random.standard_normal(red.shape)]
    both = np.concatenate(
        [np.lib.stride_tricks.sliding_window_view(x, (3, 3)).reshape(-1, 9) for x in planes], 1
    )
    mean, covariance = binned_moments(both.mean(axis=0), np.cov(both.T, bias=True))
    assert mean.shape == (18,)
    np.testing.assert_allclose(covariance, covariance.T)
    for at, plane in enumerate(planes):
        alone = binned_moments(*moments(plane))[1]
        np.testing.assert_allclose(covariance[9 * at : 9 * at + 9, 9 * at : 9 * at + 9], alone)


@pytest.mark.parametrize("coarser", [1, 2])
def test_the_radius_is_how_far_a_pixel_reaches(coarser: int) -> None:
    model = train(replace(QUICK, coarser=coarser), device="cpu")
    image = np.random.default_rng(0).normal(0, 1, (160, 160))
    folded = model.fold(*moments(image), torch.device("cpu"))
    (reach, _), farthest = model.halo, 0

    def response(values: np.ndarray) -> np.ndarray:
        tile = torch.from_numpy(values).float()[None, None]
        with torch.inference_mode():
            return folded(tile, ((0, 0), (0, 0)), None, (0, 0))[0, 0].numpy()  # type: ignore[arg-type]

    before = response(image)
    for at in range(80, 80 + 2 * folded.grid_period if hasattr(folded, "grid_period") else 96):
        changed = image.copy()
        changed[at, at] += 1e4
        moved = np.argwhere(response(changed) != before)
        farthest = max(farthest, int(np.abs(moved - at).max()))
    assert 0.7 * reach < farthest <= reach


def test_without_coarser_images_a_model_is_as_it_was() -> None:
    fine = train(replace(QUICK, coarser=0), device="cpu")
    same = train(QUICK, device="cpu")
    assert same.fingerprint == fine.fingerprint
    assert fine.halo == (recomposed_radius(fine.halo[0], 0),) * 2
    image = scene((30, 30)).astype(float)
    folded = fine.fold(*moments(image), torch.device("cpu"))
    again = fold_recomposed(lambda *_: folded, *moments(image), 9, 0)  # type: ignore[arg-type, return-value]
    assert again is folded


def test_volumes_are_not_recomposed() -> None:
    model = train(QUICK, ndim=3, device="cpu")
    assert model.halo == train(replace(QUICK, coarser=0), ndim=3, device="cpu").halo


def test_it_survives_json_and_old_recipes_have_none() -> None:
    assert Recipe.from_json(QUICK.to_json()) == QUICK
    assert Recipe.from_json('{"name": "old"}').coarser == 0
    with pytest.raises(ValueError, match="coarser"):
        replace(QUICK, coarser=-1)
