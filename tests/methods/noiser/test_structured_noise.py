"""Structured noise has the statistics that its parameters name, and comes from its generator."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from napari_noiser.methods.noiser.recipe import part_from_dict
from napari_noiser.methods.noiser.structured_noise import DeadLeaves, PowerLaw, Structure

ALL = [DeadLeaves(), PowerLaw(), Structure()]
SHAPES = [(2, 1, 40, 56), (1, 3, 40, 40), (1, 1, 12, 14, 16)]


def draw(source, shape, seed=0):
    out = torch.full(shape, float("nan"))
    source.fill(out, torch.Generator().manual_seed(seed))
    return out


@pytest.mark.parametrize("source", ALL)
@pytest.mark.parametrize("shape", SHAPES)
def test_images_are_light_and_come_from_the_generator(source, shape):
    image = draw(source, shape)
    assert bool(image.isfinite().all())
    assert float(image.min()) >= -1
    assert bool((image.flatten(1).std(1) > 0).all())
    assert torch.equal(image, draw(source, shape))
    assert not torch.equal(image, draw(source, shape, seed=1))


def test_images_of_a_batch_differ():
    first, second = draw(Structure(), (2, 1, 40, 40))
    assert not torch.equal(first, second)


def test_leaves_are_flat_but_for_their_texture():
    flat = DeadLeaves(texture=0.0, density=(0.01, 0.01), elongation=1.0)
    found = [len(draw(flat, (1, 1, 64, 64), seed).unique()) for seed in range(6)]
    covering = [count for count in found if count <= 42]  # 41 shapes, or sums of those
    assert covering
    assert min(found) > 3
    rough = DeadLeaves(density=(0.01, 0.01))
    assert max(len(draw(rough, (1, 1, 64, 64), seed).unique()) for seed in range(6)) > 500


@pytest.mark.parametrize("exponent", [1.5, 2.5])
def test_sizes_of_leaves_follow_their_power_law(exponent):
    source = DeadLeaves(smallest=(2.0, 2.0), exponent=(exponent, exponent))
    radii = source.radii(40_000, 100.0, np.random.default_rng(0))
    assert radii.min() >= 2.0
    assert radii.max() <= 100.0
    count, edges = np.histogram(radii, np.geomspace(2, 50, 12))
    density = np.log(count / np.diff(edges))
    slope = np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), density, 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.1)


@pytest.mark.parametrize("exponent", [0.8, 1.0, 2.0])
def test_spectrum_of_a_field_follows_its_power_law(exponent):
    source = PowerLaw(exponent=(exponent, exponent), skew=(1e-3, 1e-3))  # all but normal
    image = draw(source, (1, 1, 256, 256))[0, 0].numpy()
    power = np.abs(np.fft.fft2(image)) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    bins = np.geomspace(0.02, 0.4, 12)
    mean = [power[(frequency >= a) & (frequency < b)].mean() for a, b in pairwise(bins)]
    slope = np.polyfit(np.log(bins[:-1]), np.log(mean), 1)[0]
    assert slope == pytest.approx(-2 * exponent, abs=0.15)


def test_colors_stay_near_gray():
    image = (draw(Structure(), (6, 3, 48, 48)) + 1).flatten(2)
    correlation = [float(each.corrcoef()[0, 1]) for each in image]
    assert np.median(correlation) > 0.6
    assert not torch.equal(image[:, 0], image[:, 1])


@pytest.mark.parametrize("source", ALL)
def test_source_survives_json(source):
    assert part_from_dict("source", source.to_dict()) == source


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (DeadLeaves, {"smallest": (3, 1)}, "smallest must be a smaller and a larger"),
        (DeadLeaves, {"elongation": 0.5}, "elongation"),
        (DeadLeaves, {"density": 0.1}, "density must be two numbers"),
        (PowerLaw, {"exponent": (0, 1)}, "exponent"),
        (Structure, {"haze": -1}, "haze"),
        (Structure, {"blur": (1, 2, 3)}, "blur"),
    ],
)
def test_impossible_values_are_refused(cls, values, message):
    with pytest.raises((TypeError, ValueError), match=message):
        cls(**values)


def test_planes_are_drawn_as_they_always_were():
    """What bundled weights are remade from."""
    image = Structure().light((32, 40), 1, np.random.default_rng(3))
    assert image.mean(dtype=float) == pytest.approx(0.22477169518, rel=1e-6)
    assert image.std(dtype=float) == pytest.approx(0.13180657853, rel=1e-6)


def test_soft_leaves_have_no_edges():
    steps = {}
    for soft in (0.0, 1.0):
        source = DeadLeaves(smallest=(9, 9), density=(0.002, 0.002), texture=0.0, soft=soft)
        images = [source.light((96, 96), 1, np.random.default_rng(at))[0] for at in range(12)]
        slopes = [np.abs(np.diff(image)) / np.ptp(image) for image in images]
        steps[soft] = np.mean([np.sort(slope.ravel())[-500:].mean() for slope in slopes])
    assert steps[1.0] < 0.8 * steps[0.0]  # the same rise, over more pixels


def test_some_of_an_image_is_empty():
    source = Structure(share=1.0, haze=0.0, points=0.0, strands=0.0, empty=1.0)
    darkest = []
    for seed in range(30):
        light = source.light((64, 64), 1, np.random.default_rng(seed))
        darkest.append((light < 0.01).mean())
    assert 0.2 < np.mean(darkest) < 0.7
    assert max(darkest) > 0.7
