"""Contrast limits: the background dark, the brightest bright, colors untouched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.arrays import counting_dask
from helpers.models import paper_model

from napari_noiser import enhance
from napari_noiser.engine.display import contrast_limits, view_range
from napari_noiser.engine.plan import make_plan


def test_crowded_background_becomes_the_lower_limit() -> None:
    random = np.random.default_rng(0)
    image = random.normal(0.45, 0.02, (200, 200))
    image[:30, :30] = 0.95
    lower, upper = contrast_limits(image.astype(np.float32))
    assert abs(lower - 0.45) < 0.01
    assert upper == np.float32(0.95)


def test_an_even_photograph_loses_one_percent_only() -> None:
    image = np.random.default_rng(0).normal(0.5, 0.1, (300, 300)).astype(np.float32)
    lower, upper = contrast_limits(image)
    assert abs(lower - np.percentile(image, 1)) < 0.01
    assert upper > 0.75


def test_color_and_flat_images_keep_the_full_range() -> None:
    plan = make_plan(np.ones((20, 20, 3), "uint8"), "noiser", axes="YXS")
    color = np.random.default_rng(0).random((20, 20, 3)).astype(np.float32)
    assert view_range(plan, color, color).limits == (0.0, 1.0)
    assert contrast_limits(np.full((9, 9), 0.5, np.float32)) == (0.0, 1.0)
    assert contrast_limits(np.full((9, 9), 7, np.uint16)) == (0.0, 65535.0)
    assert contrast_limits(np.full((9, 9), np.nan, np.float32)) == (0.0, 1.0)


def test_missing_values_do_not_count() -> None:
    image = np.random.default_rng(0).random((64, 64)).astype(np.float32)
    expected = contrast_limits(image)
    holed = np.concatenate([image, np.full((64, 1), np.nan, np.float32)], axis=1)
    np.testing.assert_allclose(contrast_limits(holed), expected, atol=0.01)


@pytest.mark.parametrize("background", ["gray", "dark"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_missing_values_do_not_count_in_integers_either(dtype: str, background: Any) -> None:
    random = np.random.default_rng(0)
    image = random.poisson(3, (200, 200)).astype(np.float64)
    image[150:, 150:] += random.poisson(40, (50, 50))
    image[:120] = np.nan
    options: dict[str, Any] = {"background": background, "device": "cpu"}
    paper = contrast_limits(enhance(image, paper_model(), **options))
    assert paper[0] == pytest.approx(0.05 if background == "dark" else 0.43, abs=0.03)
    expected = contrast_limits(enhance(image, "noiser", **options))
    found = contrast_limits(enhance(image, "noiser", dtype=dtype, **options))
    np.testing.assert_allclose(np.divide(found, np.iinfo(dtype).max), expected, atol=0.01)


def test_light_of_0_counts() -> None:
    light = np.random.default_rng(0).poisson(0.1, (100, 100)).astype(np.uint16)
    assert view_range(make_plan(light, verb="denoise"), light, light).black < 0.1


def test_a_large_stack_is_sampled() -> None:
    class Stack:
        """Counts how many values are read of it."""

        shape, dtype, read = (300, 2000, 2000), np.dtype(np.uint16), 0

        def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
            lengths = [len(range(*s.indices(n))) for s, n in zip(key, self.shape, strict=True)]
            Stack.read += int(np.prod(lengths))
            return np.arange(np.prod(lengths), dtype=np.uint16).reshape(lengths)

    contrast_limits(Stack())
    assert 0 < Stack.read < 0.03 * np.prod(Stack.shape)


def test_of_chunks_a_few_are_enough() -> None:
    planes = np.random.default_rng(0).normal(0.5, 0.1, (100, 60, 70)).astype(np.float32)
    lazy, computed = counting_dask(planes, (1, 60, 35))
    np.testing.assert_allclose(contrast_limits(lazy), contrast_limits(planes), atol=0.02)
    assert sum(computed.values()) == len(computed) == 8
    assert len({plane for plane, *_ in computed}) == 8
