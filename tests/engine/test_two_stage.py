"""Stage 1, and both stages of IRLE: fitted to dark stacks, rendered as any other method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from helpers.compare import assert_alike, rms
from helpers.errors import refused
from helpers.models import BOTH, FIRST, QUICK, untrained
from helpers.scenes import NOISE, counts, light
from numpy.typing import NDArray

import napari_noiser as noiser
from napari_noiser import denoise, enhance, fit, fit_steps, load_model
from napari_noiser.recipes import IRLEModel, IRLERecipe

CPU: dict[str, Any] = {"device": "cpu"}


def scene(*shape: int, seed: int = 0) -> NDArray[Any]:
    """Return counts of light that falls off across the field."""
    fading = np.linspace(0.2, 4, shape[-1])
    return counts(light(shape, seed) * fading, seed=seed + 1)


@pytest.fixture(scope="module")
def image() -> NDArray[Any]:
    return scene(256, 256)


@pytest.fixture(scope="module")
def model(image: NDArray[Any]) -> IRLEModel:
    found = fit(image, BOTH, **CPU)
    assert isinstance(found, IRLEModel)
    return found


def test_it_brightens_evenly_and_takes_noise_off() -> None:
    image = scene(256, 256)
    truth = NOISE.gain * light((256, 256)) * np.linspace(0.2, 4, 256) + NOISE.offset
    recipe = IRLERecipe(
        retinex=replace(FIRST, iterations=60),
        denoiser=replace(QUICK, gain="given", iterations=150, spacing=2, width=12),
    )
    model = fit(image, recipe, **CPU)
    assert rms(denoise(image, model, **CPU) - truth) < 0.5 * rms(image - truth)
    shown = enhance(image, model, **CPU)
    dark, bright = shown[:, 20:60].mean(), shown[:, 200:240].mean()
    before = (image[:, 20:60].mean() - NOISE.offset) / (image[:, 200:240].mean() - NOISE.offset)
    assert before < 0.3 < 0.5 < dark / bright
    alone = enhance(image, model.retinex, **CPU)
    assert abs(alone - shown).max() > 0.1  # the noise


def test_events_count_through_both_stages(image: NDArray[Any]) -> None:
    steps = list(fit_steps(image, BOTH, **CPU))
    assert [each.done for each in steps] == [1, 2, 3, 4, 5, 6]
    assert {each.total for each in steps} == {6}
    assert [each.stage for each in steps] == ["illumination"] * 3 + ["fit"] * 3


def test_same_seed_same_model(image: NDArray[Any], model: IRLEModel) -> None:
    again, other = fit(image, BOTH, **CPU), fit(image, BOTH, seed=1, **CPU)
    assert again.fingerprint == model.fingerprint != other.fingerprint


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_an_offset_of_any_size_costs_no_digits(model: IRLEModel, offset: float) -> None:
    image = scene(90, 80)
    scaling = replace(model.denoiser.scaling, black=model.denoiser.scaling.black + offset)
    retinex = replace(
        model.retinex, black=model.retinex.black + offset, white=model.retinex.white + offset
    )
    moved = IRLEModel(retinex, replace(model.denoiser, scaling=scaling))
    camera = replace(NOISE, offset=NOISE.offset + offset)
    for one, other in ((model, moved), (model.retinex, retinex)):
        expected = enhance(image, one, camera=NOISE, **CPU)
        assert_alike(enhance(image + offset, other, camera=camera, **CPU), expected, within=5e-5)
    expected = enhance(image, model.retinex, **CPU)
    assert_alike(enhance(image + offset, retinex, **CPU), expected, within=5e-5)


def test_whole_numbers_of_64_bits_are_counts_as_any_other() -> None:
    image = scene(100, 90).astype("uint16")
    photo = np.stack([image, image + 20, image + 5], axis=-1)
    model = fit([image] * 8, FIRST, **CPU)
    options: dict[str, Any] = {"axes": "YXS", "colors": "kept", **CPU}
    for each, asked in ((image, CPU), (photo, options)):
        found = enhance(each, model, **asked)
        for dtype in ("int64", "uint64"):
            wide = each.astype(dtype)
            np.testing.assert_array_equal(enhance(wide, model, **asked), found)
            lazy = da.from_array(wide, chunks=(50, *wide.shape[1:]))
            assert_alike(enhance(lazy, model, **asked).compute(scheduler="sync"), found)


def test_stage_1_alone_in_tiles_and_colors() -> None:
    photo = np.stack([scene(140, 150, seed=seed) for seed in range(3)], axis=-1)
    photo = np.clip(photo, 0, 255).astype("uint8")
    model = fit([photo, photo, photo, photo], FIRST, axes="YXS", **CPU)
    assert (model.samples, model.black, model.white) == (3, 0, 255)
    whole = enhance(photo, model, axes="YXS", **CPU)
    assert_alike(enhance(photo, model, axes="YXS", tile=50, **CPU), whole, within=2e-5)
    assert whole.mean() > photo.mean() / 255
    with refused("model"):
        denoise(photo, model, axes="YXS")


def test_stabilized_and_not_stage_1_sees_the_same_counts(image: NDArray[Any]) -> None:
    model = fit(image, FIRST, **CPU)
    plain = enhance(image, model, **CPU)
    known = enhance(image, model, camera=NOISE, repair=False, **CPU)
    assert np.abs(known - plain).mean() < 1e-3  # but for counts below what stabilizing holds


def test_a_dark_background_and_a_slider(model: IRLEModel, image: NDArray[Any]) -> None:
    shown = enhance(image, model, **CPU)
    assert enhance(image, model, brightness=0.5, **CPU).mean() > shown.mean() + 0.05
    dark = enhance(image, model, background="dark", **CPU)
    assert np.isfinite(dark).all()
    assert dark.mean() < shown.mean()


def test_a_change_of_light_is_bounded_and_of_reflectance_is_not(
    model: IRLEModel, image: NDArray[Any]
) -> None:
    found = denoise(image, model, camera=NOISE, repair=False, max_change=0.5, **CPU)
    largest = 0.6 * np.sqrt(NOISE.variance(image.max()))
    assert 0 < np.abs(found - image)[image > NOISE.offset + 20].max() < largest
    with refused("max_change"):
        enhance(image, model, max_change=0.5, **CPU)
    photo = np.stack([image] * 3, axis=-1)
    with refused("max_change"):
        enhance(photo, model, axes="YXS", max_change=0.5, **CPU)


@pytest.mark.parametrize("verb", [enhance, denoise])
def test_a_model_of_gray_images_makes_of_colors_what_it_makes_of_each(
    model: IRLEModel, image: NDArray[Any], verb: Any
) -> None:
    photo = np.stack([image] * 3, axis=-1)
    alone = verb(image, model, camera=NOISE, **CPU)
    found = verb(photo, model, axes="YXS", camera=NOISE, **CPU)
    assert_alike(found, np.stack([alone] * 3, axis=-1), within=2e-5)


def test_files(tmp_path: Path, model: IRLEModel, image: NDArray[Any]) -> None:
    again = load_model(model.renamed("mine").save(tmp_path / "both"))
    assert again.name == "mine"
    assert again.fingerprint == model.fingerprint
    assert again.recipe == replace(BOTH, name="mine")
    np.testing.assert_array_equal(*(enhance(image, each, **CPU) for each in (model, again)))
    for stage in ("retinex", "denoiser"):
        learned, kept = (getattr(each, stage).losses for each in (model, again))
        assert learned == kept
        assert len(kept) == 3
    retinex = load_model(model.retinex.save(tmp_path / "retinex"))
    assert retinex.describe() == model.retinex.describe()
    assert IRLERecipe.from_dict(model.recipe.to_dict()) == BOTH


@pytest.mark.parametrize(
    ("recipe", "options", "error", "argument"),
    [
        (BOTH, {"ndim": 3}, ValueError, "ndim"),
        (FIRST, {"ndim": 3}, ValueError, "ndim"),
        (noiser.RECIPES["noiser"], {}, TypeError, "recipe"),
        (BOTH, {"camera": None}, ValueError, "camera"),
        (BOTH, {"gain_map": np.ones((256, 256))}, ValueError, "gain_map"),
    ],
)
def test_what_cannot_be_fitted(
    image: NDArray[Any], recipe: Any, options: dict[str, Any], error: Any, argument: str
) -> None:
    with refused(argument, error=error):
        fit_steps(np.stack([image] * 4), recipe, **CPU, **options)


def test_recipes_and_models_that_cannot_be(model: IRLEModel) -> None:
    with refused("denoiser"):
        IRLERecipe(denoiser=QUICK)
    with refused("retinex", error=TypeError):
        IRLERecipe(retinex=QUICK)  # type: ignore[arg-type]
    with refused("name", error=TypeError):
        model.renamed("")
    with refused("denoiser"):
        IRLEModel(model.retinex, untrained(gain="none"))
