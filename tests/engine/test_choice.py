"""What "auto" chooses, and what it says."""

from __future__ import annotations

from collections import Counter

import dask.array as da
import numpy as np
import pytest
from helpers.arrays import counting_dask
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_noiser import choose, enhance, load_model
from napari_noiser.engine.calibration import calibrate
from napari_noiser.engine.plan import make_plan


def photograph(dark: float = 0.1) -> NDArray[np.uint8]:
    """Return a dark picture with gray tones everywhere, a bit of color, and noise."""
    random = np.random.default_rng(0)
    tones = gaussian_filter(random.normal(size=(128, 160)), 8) / 0.035
    cast = np.array([1.0, 0.9, 0.8])
    light = dark * (120 + 45 * tones[..., None]) * cast
    return random.poisson(light.clip(0)).astype(np.uint8)


def fluorophores() -> NDArray[np.uint8]:
    """Return cells in pure colors on black."""
    random = np.random.default_rng(0)
    light = np.ones((128, 160, 3))
    for _ in range(12):
        y, x = random.integers(10, 110, 2)
        light[y : y + 12, x : x + 12, random.integers(3)] += 60
    return random.poisson(light).astype(np.uint8)


def test_gray_images_are_denoised_and_shown_on_black() -> None:
    image = np.random.default_rng(0).poisson(3, (90, 100))
    choice = choose(image)
    assert (choice.model, choice.background) == ("structured", "dark")
    assert choice.reason.endswith(".")
    assert 0 <= choice.confidence <= 1


def test_signal_to_noise_is_said() -> None:
    random = np.random.default_rng(0)
    y, x = np.mgrid[:128, :128]
    structure = np.sin(x / 9) * np.sin(y / 9)
    for ratio, words in ((0.2, "Very noisy"), (1.5, "Noisy"), (50.0, "Little noise")):
        noise = structure.std() / ratio
        choice = choose(10 + structure + random.normal(0, noise, structure.shape))
        assert choice.signal_to_noise == pytest.approx(ratio, rel=0.3, abs=0.1)
        assert choice.reason.startswith(words)


def test_photographs_keep_their_colors_on_gray() -> None:
    choice = choose(photograph(), axes="YXS")
    assert (choice.background, choice.colors) == ("gray", "kept")
    chosen = enhance(photograph(), axes="YXS")
    asked = enhance(photograph(), "structured", axes="YXS", background="gray", colors="kept")
    np.testing.assert_array_equal(chosen, asked)


def test_fluorophores_are_shown_on_black() -> None:
    assert choose(fluorophores(), axes="YXS").background == "dark"


def test_noise_that_neighbors_share_is_said() -> None:
    noise = np.random.default_rng(0).normal(100, 5, (256, 256))
    shared = (noise + np.roll(noise, 1, axis=1)) / 2
    alone, together = choose(noise), choose(shared)
    assert together.confidence < alone.confidence
    assert together.reason != alone.reason


def test_what_was_chosen_stands_in_the_provenance_and_replays() -> None:
    image = photograph()
    plan = calibrate(make_plan(image, axes="YXS"))
    said = plan.describe()
    assert said["background"] == "gray"
    assert said["choice"]["reason"] == choose(image, axes="YXS").reason
    asked = {name: said[name] for name in ("axes", "background", "colors")}
    np.testing.assert_array_equal(
        enhance(image, "structured", **asked), enhance(image, axes="YXS")
    )


def test_what_was_asked_for_is_not_chosen() -> None:
    image = photograph()
    asked = calibrate(make_plan(image, "structured", axes="YXS", background="dark"))
    assert asked.choice is None
    assert "choice" not in asked.describe()
    assert calibrate(make_plan(image, "noiser", axes="YXS")).options["background"] == "gray"
    own = calibrate(make_plan(image, load_model("noiser", samples=3), axes="YXS"))
    assert (own.options["background"], own.options["colors"]) == ("gray", "balanced")


def test_a_dask_array_stays_lazy() -> None:
    image = np.random.default_rng(0).poisson(3, (6, 64, 64)).astype(np.uint16)
    lazy, computed = counting_dask(image, (1, 64, 64))
    result = enhance(lazy)
    assert isinstance(result, da.Array)
    assert not computed
    np.testing.assert_allclose(result.compute(), enhance(image), atol=1e-5)


def test_a_few_planes_are_enough() -> None:
    image = np.random.default_rng(0).poisson(3, (40, 64, 64)).astype(np.uint16)
    lazy, computed = counting_dask(image, (1, 64, 64))
    choose(lazy)
    assert isinstance(computed, Counter)
    assert len(computed) <= 4
