"""The linearity report: 1, 1, 0 for what is linear, known values for what is known."""

from __future__ import annotations

import json
from dataclasses import asdict

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from napari_noiser import closed_form
from napari_noiser.analysis.linearity import measure_linearity

GAINS = st.floats(1e-3, 1e3)
OFFSETS = st.floats(-1e4, 1e4)


def image(seed: int = 0, shape: tuple[int, ...] = (64, 80)) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, 50, shape)


@given(seed=st.integers(0, 99), gain=GAINS, offset=OFFSETS)
def test_a_linear_result_is_linear(seed: int, gain: float, offset: float) -> None:
    raw = np.rint(image(seed))
    found = measure_linearity(raw.astype(np.uint16), gain * raw + offset)
    assert found.rank_correlation == pytest.approx(1)
    assert found.slope == pytest.approx(1, abs=1e-4)
    assert found.spread == pytest.approx(0, abs=1e-6)


@given(gain=GAINS, offset=OFFSETS, gain_after=GAINS, offset_after=OFFSETS)
def test_neither_gain_nor_offset_of_either_matters(
    gain: float, offset: float, gain_after: float, offset_after: float
) -> None:
    raw = image()
    result = np.tanh(raw / 100) + np.random.default_rng(1).normal(0, 0.05, raw.shape)
    expected = measure_linearity(raw, result)
    found = measure_linearity(gain * raw + offset, gain_after * result + offset_after)
    assert found.rank_correlation == pytest.approx(expected.rank_correlation, rel=1e-6)
    assert found.slope == pytest.approx(expected.slope, rel=1e-3)
    assert found.spread == pytest.approx(expected.spread, rel=1e-3)


@pytest.mark.parametrize("power", [0.3, 0.5, 2.0])
def test_a_power_law_has_its_exponent_as_slope(power: float) -> None:
    signal = np.random.default_rng(0).random((300, 300)) ** 3  # black is well represented
    found = measure_linearity(500 + 1000 * signal, signal**power)
    assert found.slope == pytest.approx(power, rel=0.05)
    assert found.rank_correlation == pytest.approx(1)
    assert found.spread == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("levels", [8, 10**6])
def test_spread_is_the_deviation_at_equal_raw_values(levels: int) -> None:
    random = np.random.default_rng(0)
    raw = random.integers(0, levels, (400, 400))
    result = raw / (levels - 1) + random.normal(0, 0.1, raw.shape)
    found = measure_linearity(raw, result)
    lower, upper = np.percentile(result, (0.1, 99.9))
    assert found.spread == pytest.approx(0.1 / (upper - lower), rel=0.02)


def test_equal_raw_values_that_lie_together_spread_too() -> None:
    raw = np.repeat([0, 10], 5000).reshape(100, 100)
    result = np.tile(np.linspace(0, 1, 100)[:, None], 100)  # smooth down the image
    assert measure_linearity(raw, result).spread == pytest.approx(0.5 / np.sqrt(12), rel=0.05)


@given(st.integers(0, 99), st.integers(2, 40))
def test_rank_correlation_is_spearmans(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    raw, result = random.integers(0, levels, (2, 20, 30))
    expected = spearmanr(raw.ravel(), result.ravel()).statistic
    assert measure_linearity(raw, result).rank_correlation == pytest.approx(expected, abs=1e-12)


def test_a_negative_has_rank_correlation_minus_one_and_no_slope() -> None:
    found = measure_linearity(image(), -image())
    assert found.rank_correlation == pytest.approx(-1)
    assert found.slope is None


def test_enhancement_keeps_ranks_roughly_and_is_not_linear() -> None:
    raw = np.random.default_rng(0).poisson(image())
    found = measure_linearity(raw, closed_form(raw))
    assert 0.1 < found.rank_correlation < 0.9
    assert found.spread > 0.05
    assert "rank correlation" in found.remark()


def test_the_report_is_json_whatever_came() -> None:
    flat, nothing = np.zeros((9, 9)), np.full((9, 9), np.nan)
    pairs = [(image(), image()), (flat, flat), (flat, image(0, (9, 9))), (image(0, (9, 9)), flat)]
    pairs += [(nothing, nothing), (flat[:1, :1], flat[:1, :1])]
    for raw, result in pairs:
        found = measure_linearity(raw, result)
        assert json.loads(json.dumps(asdict(found), allow_nan=False)) == asdict(found)
        assert found.remark().startswith("Measure on the raw data")
    assert asdict(measure_linearity(flat, flat)) == dict.fromkeys(
        ("rank_correlation", "slope", "spread")
    )


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_any_magnitude(scale: float) -> None:
    found = measure_linearity(image() * scale, image() / scale)
    assert found.slope == pytest.approx(1)
    assert found.spread == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4"])
def test_any_type(dtype: str) -> None:
    raw = np.rint(image()).clip(0, 120)
    base = 2**62 if dtype in ("u8", "i8") else 0
    found = measure_linearity((raw.astype(dtype) + np.array(base, dtype)), raw**2)
    expected = measure_linearity(raw, raw**2)
    assert found.slope == pytest.approx(expected.slope)
    assert found.rank_correlation == pytest.approx(1)


def test_missing_values_and_alpha_do_not_count() -> None:
    raw, result = image(), image() * 3.0
    result[3:9] = np.nan
    assert measure_linearity(raw, result).slope == pytest.approx(1)
    color = np.dstack([image(seed) for seed in range(3)])
    with_alpha = np.dstack([color, np.full(raw.shape, 9.0)])
    assert measure_linearity(with_alpha, with_alpha, axes="YXS") == measure_linearity(
        color, color, axes="YXS"
    )


def test_of_lazy_stacks_eight_planes_are_computed() -> None:
    computed: list[tuple[int, ...]] = []

    def noted(block: np.ndarray, block_id: tuple[int, ...] = ()) -> np.ndarray:
        computed.append(block_id)
        return block

    lazy = da.random.default_rng(0).random((200, 1024, 1024), chunks=(1, 1024, 1024))
    raw = lazy.map_blocks(noted, meta=np.zeros((0, 0, 0)))
    found = measure_linearity(raw, 2 * lazy)
    assert len(computed) == 8
    assert found.slope == pytest.approx(1)
