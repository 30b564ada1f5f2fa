"""A symmetric network turns and flips with its image; each filter is learned and saved once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.scenes import scene
from safetensors.torch import save_file

from napari_noiser import RECIPES, enhance, load_model, train
from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.network import SRM
from napari_noiser.recipes import Recipe

FORMS = [(1, 2), (3, 2), (1, 3), (2, 3)]
SHORT = Recipe(name="short", symmetric=True, width=3, iterations=20, size=20, size_3d=8)


def turned(image: Any) -> Iterator[Any]:
    """Yield an array in all flips and quarter turns of its last axes, of a volume in z as well."""
    library = torch if isinstance(image, torch.Tensor) else np
    volumes = (image, library.flip(image, (-3,))) if image.ndim in (3, 5) else (image,)
    for volume in volumes:
        for either in (volume, library.flip(volume, (-1,))):
            yield from (library.rot90(either, turns, (-2, -1)) for turns in range(4))


@pytest.mark.parametrize(("samples", "ndim"), FORMS)
def test_the_network_turns_with_its_image(samples: int, ndim: int) -> None:
    network = SRM(samples, 3, ndim, torch.Generator().manual_seed(0), symmetric=True).double()
    image = torch.randn(1, samples, *(7, 8, 9)[-ndim:], dtype=torch.float64)
    with torch.no_grad():
        for seen, wanted in zip(turned(image), turned(network(image)), strict=True):
            torch.testing.assert_close(network(seen), wanted, rtol=0, atol=1e-12)
        torch.testing.assert_close(network(image.roll(1, 1)), network(image).roll(1, 1))


@pytest.mark.parametrize("name", ["noiser", "noiser-es", "noiser-var3"])
@pytest.mark.parametrize("tile", [None, 16])
def test_bundled_models_turn_with_planes(name: str, tile: int | None) -> None:
    image = scene((41, 37))
    options: dict[str, Any] = {"tile": tile, "device": "cpu", "background": "gray"}
    shown = enhance(image, name, **options)
    assert shown.std() > 0.05
    for seen, wanted in zip(turned(image), turned(shown), strict=True):
        np.testing.assert_allclose(enhance(seen, name, **options), wanted, atol=2e-6)


def test_bundled_models_turn_with_colors() -> None:
    image = scene((3, 41, 37))
    for model in ("noiser", "noiser-es", "noiser-var3"):
        shown = enhance(image, model, axes="SYX", device="cpu")
        found = enhance(np.rot90(image, 1, (1, 2))[..., ::-1], model, axes="SYX", device="cpu")
        wanted = np.rot90(shown, 1, (1, 2))[..., ::-1]
        np.testing.assert_allclose(found, wanted, atol=2e-6)
        found = enhance(np.roll(image, 1, 0), model, axes="SYX", device="cpu")
        np.testing.assert_allclose(found, np.roll(shown, 1, 0), atol=2e-6)


@pytest.mark.parametrize("tile", [None, 8])
def test_bundled_models_turn_with_volumes(tile: int | None) -> None:
    image = scene((9, 14, 12))
    for model in ("noiser", "noiser-var3"):
        options: dict[str, Any] = {"ndim": 3, "tile": tile, "device": "cpu"}
        shown = enhance(image, model, **options)
        for seen, wanted in zip(turned(image), turned(shown), strict=True):
            np.testing.assert_allclose(enhance(seen, model, **options), wanted, atol=5e-6)


def test_the_papers_form_does_not_turn() -> None:
    image = scene((41, 37))
    model = train(replace(SHORT, symmetric=False), device="cpu")
    difference = enhance(image[::-1], model, device="cpu")[::-1] - enhance(image, model)
    assert np.abs(difference).max() > 0.01


@pytest.mark.parametrize(
    ("samples", "ndim", "count"), [(3, 2, 3 * 55 + 1), (1, 2, 9 * 19 + 1), (1, 3, 9 * 55 + 1)]
)
def test_each_filter_is_learned_and_saved_once(samples: int, ndim: int, count: int) -> None:
    model = load_model("noiser", samples=samples, ndim=ndim)
    assert sum(each.numel() for each in model.weights.values()) == count


@pytest.mark.parametrize(("samples", "ndim"), [(1, 2), (3, 2), (1, 3)])
def test_a_symmetric_model_survives_its_file(tmp_path: Any, samples: int, ndim: int) -> None:
    model = train(SHORT, samples=samples, ndim=ndim, device="cpu", seed=4)
    again = load_model(model.save(tmp_path / "mine"))
    assert (again.recipe, again.fingerprint) == (SHORT, model.fingerprint)
    image = scene((samples, *(6, 14, 15)[-ndim:]))
    axes = "SZYX" if ndim == 3 else "SYX"
    shown = enhance(image, model, axes=axes, ndim=ndim, device="cpu")
    assert np.array_equal(enhance(image, again, axes=axes, ndim=ndim, device="cpu"), shown)


def test_files_of_before_are_the_papers_form(tmp_path: Any) -> None:
    model = train(replace(SHORT, symmetric=False), device="cpu")
    header = {"format": 1, **model.header()}
    del header["recipe"]["symmetric"]
    path = tmp_path / "before.safetensors"
    save_file(model.weights, path, metadata={"napari_noiser": json.dumps(header)})
    again = load_model(path)
    assert again.recipe == model.recipe
    assert not again.recipe.symmetric
    image = scene((20, 22))
    assert np.array_equal(enhance(image, again), enhance(image, model))


def test_symmetry_is_for_networks_of_two_layers() -> None:
    with pytest.raises(ValueError, match="symmetric must be False with an exposure"):
        Recipe(name="mine", symmetric=True, exposure=PhotonNoise())
    with pytest.raises(TypeError, match="symmetric must be True or False"):
        Recipe(name="mine", symmetric="yes")
    assert Recipe.from_dict({"name": "mine"}).symmetric is False


def test_recipes_that_enhance_are_symmetric_and_the_papers_studies_are_not() -> None:
    found = {name for name, recipe in RECIPES.items() if recipe.symmetric}
    assert found == {"noiser", "noiser-es", "noiser-var3", "ms-noiser"}


def step_and_grain(name: str, samples: int, ndim: int) -> tuple[float, float]:
    """Return how far two levels of light are apart as shown, and their noise's share of it.

    Grain is what neighbors in the darker half differ by.
    """
    shape = (samples, *((96, 96) if ndim == 2 else (24, 24, 24)))
    light = np.full(shape, 20.0)
    light[..., shape[-1] // 2 :] = 60.0
    image = np.random.default_rng(0).poisson(light).astype(np.float32)
    model = load_model(name, samples=samples, ndim=ndim)
    axes = "SYX" if ndim == 2 else "SZYX"
    shown = enhance(image, model, axes=axes, ndim=ndim, device="cpu")
    dark, bright = shown[..., 4 : shape[-1] // 2 - 4], shown[..., shape[-1] // 2 + 4 : -4]
    contrast = float(bright.mean() - dark.mean())
    return contrast, float(np.diff(dark, axis=-1).std()) / contrast


@pytest.mark.parametrize("samples", [1, 3])
def test_stopped_early_it_is_grainier(samples: int) -> None:
    grain = {name: step_and_grain(name, samples, 2)[1] for name in ("noiser", "noiser-es")}
    assert grain["noiser-es"] > 1.2 * grain["noiser"]


@pytest.mark.parametrize(("samples", "ndim"), [(1, 2), (3, 2), (1, 3)])
def test_a_wider_noise_gives_more_contrast_and_less_grain(samples: int, ndim: int) -> None:
    contrast, grain = step_and_grain("noiser", samples, ndim)
    more, less = step_and_grain("noiser-var3", samples, ndim)
    assert more > 1.05 * contrast
    assert less < 0.95 * grain
