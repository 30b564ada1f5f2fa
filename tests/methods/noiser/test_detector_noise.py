"""Each disturbance of a detector has the statistics that its range promises."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_noiser.methods.noiser.detector_noise import DetectorNoise
from napari_noiser.methods.noiser.recipe import part_from_dict

NONE = {each.name: 0.0 for each in fields(DetectorNoise) if each.name.endswith("_share")}


def only(**values: object) -> DetectorNoise:
    """Return photon noise of 50 photons a pixel, and besides it only what is given."""
    return DetectorNoise(**{"photons": (50, 50), **NONE, **values})  # type: ignore[arg-type]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def flat(side: int = 256, images: int = 1) -> Tensor:
    """Return signals of one level, with a black pixel, so that no pedestal is taken off."""
    signal = torch.zeros((images, 1, side, side))
    signal[..., 0, 0] = -1.0
    return signal


def halves(images: int = 1, side: int = 256) -> Tensor:
    """Return signals of two levels: a quarter of full light on the left, full on the right."""
    signal = torch.full((images, 1, side, side), -0.5)
    signal[..., side // 2 :] = 1.0
    return signal


def electrons(
    exposure: DetectorNoise, signal: Tensor, photons: float = 50
) -> tuple[Tensor, float]:
    """Return counts of a flat signal, and the standard deviation of their noise in photons."""
    seen, light = exposure.expose(signal, generator())
    scale = photons / float(light[0, 0, 1, 1] - light[0, 0, 0, 0])
    return seen[0, 0] * scale, float((seen - light).std()) * scale


def correlation(noise: Tensor, axis: int) -> float:
    first, second = (noise.narrow(axis, at, noise.shape[axis] - 1) for at in (0, 1))
    return float((first * second).mean() / noise.square().mean())


def test_photons_alone_are_poisson_noise() -> None:
    assert electrons(only(), flat())[1] == pytest.approx(50**0.5, rel=0.02)


def test_read_noise_comes_on_top() -> None:
    exposure = only(read_share=1, read_noise=(3, 3))
    assert electrons(exposure, flat())[1] == pytest.approx((50 * 10) ** 0.5, rel=0.02)


@pytest.mark.parametrize("added", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("photons", [1.0, 50.0])
def test_multiplication_adds_its_excess_and_keeps_the_mean(added: float, photons: float) -> None:
    exposure = only(photons=(photons, photons), excess_share=1, excess=(added, added))
    seen, light = exposure.expose(halves(), generator())
    for part, seen_part in zip(light.split(128, 3), seen.split(128, 3), strict=True):
        assert float((seen_part - part).mean()) == pytest.approx(0, abs=0.03)
    deviation = electrons(exposure, flat(), photons)[1]
    assert deviation**2 == pytest.approx((1 + added) * photons, rel=0.05)


@pytest.mark.parametrize("wanted", [0.05, 0.3])
def test_faint_structure_has_the_signal_to_noise_that_is_asked_for(wanted: float) -> None:
    exposure = only(faint_share=1, signal_to_noise=(wanted, wanted))
    seen, light = exposure.expose(halves(images=4), generator())
    for image, truth in zip(seen, light, strict=True):
        assert float(truth.std() / (image - truth).std()) == pytest.approx(wanted, rel=0.03)


def test_what_is_fainter_already_stays() -> None:
    exposure = only(faint_share=1, signal_to_noise=(100, 100))
    for own, plain in zip(
        exposure.expose(halves(), generator()), only().expose(halves(), generator()), strict=True
    ):
        torch.testing.assert_close(own, plain)


def test_neighbors_share_noise_and_light_as_interpolation_has_them_share_it() -> None:
    exposure = only(shared_share=1, smoothing=(1e-9, 1e-9))
    seen, light = exposure.expose(flat(images=40, side=64), generator())
    noise = (seen - light)[:, 0, 2:, 2:]
    found = [correlation(image, axis) for image in noise for axis in (0, 1)]
    assert min(found) == pytest.approx(0, abs=0.08)
    assert max(found) == pytest.approx(0.5, abs=0.08)  # the mean of two has a half in common
    assert 0.25 < np.mean(np.array(found) < 0.1) < 0.75


def test_smoothing_shares_noise_along_both_axes() -> None:
    exposure = only(shared_share=1, smoothing=(0.3, 0.3))
    seen, light = exposure.expose(flat(images=40, side=64), generator())
    noise = (seen - light)[:, 0, 2:, 2:]
    both = [min(correlation(image, axis) for axis in (0, 1)) for image in noise]
    assert 0.3 < np.mean(np.array(both) > 0.5) < 0.7  # half of what is shared is smoothed
    lights = [float(each[0, 0, 0] - each[0, 5, 5]) for each in light]
    assert min(map(abs, lights)) < 0.5 * max(map(abs, lights))  # the black pixel along with it


@pytest.mark.parametrize("axes", [(0, 1)])
def test_rows_or_columns_have_offsets_of_their_own(axes: tuple[int, int]) -> None:
    exposure = only(line_share=1, line_offset=(0.5, 0.5))
    seen, light = exposure.expose(flat(images=20, side=128), generator())
    spreads = []
    for noise in (seen - light)[:, 0]:
        own = max(axes, key=lambda axis: float(noise.mean(1 - axis).std()))
        spreads.append((own, float(noise.mean(1 - own).std() / noise.std())))
    assert {own for own, _ in spreads} == set(axes)
    expected = 0.5 / 1.25**0.5
    assert np.mean([spread for _, spread in spreads]) == pytest.approx(expected, rel=0.1)


def test_counts_are_rounded_to_steps_of_the_noise() -> None:
    counts, noise = electrons(only(quantized_share=1, quantum=(1, 1)), flat(side=64))
    steps = counts.unique().diff()
    assert len(steps) < 14
    torch.testing.assert_close(steps / steps.min(), (steps / steps.min()).round())
    assert float(steps.min()) == pytest.approx(50**0.5, rel=0.05)
    assert noise == pytest.approx((50 * (1 + 1 / 12)) ** 0.5, rel=0.05)


def test_compression_rounds_the_waves_of_blocks() -> None:
    exposure = only(compressed_share=1, quantum=(2, 2))
    counts, noise = electrons(exposure, flat(side=64))
    assert noise < 50**0.5  # fine waves are gone
    row = counts[8:16]
    second = row[:, 2:] - 2 * row[:, 1:-1] + row[:, :-2]
    assert float(second.square().mean()) < 0.5 * 6 * 50
    odd = DetectorNoise(**{**NONE, "compressed_share": 1.0}).expose(flat(side=29), generator())
    assert bool(odd[0].isfinite().all())


def test_dark_and_bright_values_are_clipped_and_bright_light_along() -> None:
    dark, truth = only(floor_share=1, photons=(2, 2)).expose(halves(20, 32), generator())
    assert max(float((image == image.min()).float().mean()) for image in dark) > 0.3
    assert float(truth.min()) < float(dark.min())
    bright, truth = only(ceiling_share=1, ceiling=(0.5, 0.5)).expose(halves(4, 64), generator())
    for image, light in zip(bright, truth, strict=True):
        assert float((image == image.max()).float().mean()) > 0.2
        assert float(light.max()) <= float(image.max()) + 1e-5


@pytest.mark.parametrize(
    "disturbed",
    [{}, {"excess_share": 1}, {"read_share": 1, "read_noise": (0.5, 0.5)}, {"shared_share": 1}],
)
def test_stabilized_noise_is_the_same_in_the_dark_and_in_the_bright(
    disturbed: dict[str, object],
) -> None:
    exact = only(stabilized_share=1, camera_error=(1, 1), **disturbed)
    seen, light = exact.expose(halves(images=8), generator())
    noise = (seen - light)[..., 4:-4]
    for image in noise:
        dark, bright = image[..., :120], image[..., -120:]
        assert float(dark.mean()) == pytest.approx(0, abs=0.03)
        assert float(bright.var()) == pytest.approx(float(dark.var()), rel=0.1)


def test_a_wrong_camera_leaves_noise_that_depends_on_light() -> None:
    seen, light = only(
        stabilized_share=1, read_share=1, read_noise=(1, 1), camera_error=(0.4, 0.4)
    ).expose(halves(images=1), generator())
    dark, bright = (seen - light).split(128, 3)
    assert abs(float(bright.var() / dark.var()) - 1) > 0.1


def test_each_image_draws_its_own_and_all_come_from_the_generator() -> None:
    signal = halves(images=8, side=32)
    seen, light = DetectorNoise().expose(signal, generator())
    noise = (seen - light).flatten(1).std(1)
    assert float(noise.max() / noise.min()) > 2
    again, _ = DetectorNoise().expose(signal, generator())
    assert torch.equal(seen, again)


@pytest.mark.parametrize("shape", [(16, 1, 40, 40), (8, 3, 16, 16), (8, 1, 3, 24, 24)])
def test_all_that_comes_together_stays_finite_and_standardized(shape: tuple[int, ...]) -> None:
    every = DetectorNoise(**dict.fromkeys(NONE, 0.5))
    for signal in (torch.full(shape, -1.0), torch.randn(shape, generator=generator())):
        seen, light = every.expose(signal, generator())
        assert bool(seen.isfinite().all())
        assert bool(light.isfinite().all())
        assert float(seen.flatten(1).std(1).max()) <= 1.01


@pytest.mark.parametrize("exposure", [DetectorNoise(), only(quantum=(0.5, 1))])
def test_it_survives_json(exposure: DetectorNoise) -> None:
    assert part_from_dict("exposure", exposure.to_dict()) == exposure


@pytest.mark.parametrize(
    "values", [{"quantum": (0, 1)}, {"excess_share": 1.5}, {"signal_to_noise": (1, 0.1)}]
)
def test_impossible_values_are_refused(values: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError), match=next(iter(values))):
        only(**values)
