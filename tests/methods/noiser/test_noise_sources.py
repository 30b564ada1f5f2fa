"""What a network learns from has the statistics its source names, and comes from its generator."""

from itertools import pairwise

import pytest
import torch

from napari_noiser.methods.noiser.noise_sources import GaussianNoise, Palette, PureColor

SOURCES = [GaussianNoise(), GaussianNoise(0.3, 3.0), PureColor(0.2), Palette(4)]
SHAPES = [(1, 1, 40, 40), (1, 3, 40, 40), (1, 1, 12, 12, 12), (1, 2, 9, 10, 11)]


def draw(source, shape, seed=0):
    out = torch.full(shape, float("nan"))
    source.fill(out, torch.Generator().manual_seed(seed))
    return out


def edges(image, axis):
    """Lengths along an axis between the changes of color."""
    other = [dim for dim in range(image.ndim) if dim != axis]
    changed = image.diff(dim=axis).ne(0).sum(dim=other).nonzero().flatten() + 1
    stops = [0, *changed.tolist(), image.shape[axis]]
    return [high - low for low, high in pairwise(stops)]


@pytest.mark.parametrize("variance", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(1, 1, 300, 300), (1, 1, 45, 45, 45)])
def test_gaussian_has_its_mean_and_variance(variance, shape):
    image = draw(GaussianNoise(-0.2, variance), shape)
    error = (variance / image.numel()) ** 0.5
    assert float(image.mean()) == pytest.approx(-0.2, abs=5 * error)
    assert float(image.var()) == pytest.approx(variance, rel=5 * (2 / image.numel()) ** 0.5)


def test_gaussian_is_normal_and_white():
    image = draw(GaussianNoise(), (1, 1, 300, 300))
    within = [float((image.abs() < bound).float().mean()) for bound in (1, 2, 3)]
    assert within == pytest.approx([0.6827, 0.9545, 0.9973], abs=0.005)
    for axis in (2, 3):
        neighbors = image.roll(1, axis)
        assert float((image * neighbors).mean()) == pytest.approx(0, abs=5 / 300)


@pytest.mark.parametrize("shape", [(1, 3, 200, 200), (1, 3, 34, 34, 34)])
def test_gaussian_has_a_mean_for_each_channel(shape):
    means = (-0.5, 0.0, 0.9)
    image = draw(GaussianNoise(means), shape)
    assert image[0].flatten(1).mean(1).tolist() == pytest.approx(means, abs=0.03)
    first, second, third = image[0].flatten(1)
    assert float(torch.stack([first, second, third]).corrcoef().triu(1).abs().max()) < 0.03


@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (1, 3, 3, 5, 7)])
def test_pure_color_is_constant(shape):
    image = draw(PureColor((0.0, 0.25, 1.0)), shape)
    for channel, value in enumerate((-1.0, -0.5, 1.0)):
        assert bool((image[0, channel] == value).all())


def test_pure_color_of_one_value_is_gray():
    assert bool((draw(PureColor(0.5), (1, 3, 4, 4)) == 0).all())


@pytest.mark.parametrize(
    ("grid", "sides"),
    [
        (1, (8, 8)),
        (4, (104, 104)),
        (8, (104, 104)),
        (3, (10, 11)),
        (4, (9, 13)),
        (16, (104, 104)),
        (5, (5, 6)),
        (3, (9, 10, 11)),
        (7, (24, 24, 24)),
    ],
)
def test_palette_is_a_grid_of_patches(grid, sides):
    image = draw(Palette(grid), (1, 2, *sides))
    for axis, side in enumerate(sides, start=2):
        lengths = edges(image, axis)
        assert len(lengths) == grid
        assert max(lengths) <= -(-side // grid)
    assert len(image[0, 0].unique()) == grid ** len(sides)
    assert len(image[0, 1].unique()) == grid ** len(sides)


def test_palette_of_more_patches_than_pixels_is_noise_in_every_pixel():
    image = draw(Palette(50), (1, 1, 6, 7))
    assert len(image.unique()) == 6 * 7


@pytest.mark.parametrize("shape", [(1, 1, 200, 200), (1, 1, 34, 34, 34)])
def test_palette_colors_are_uniform_over_the_range(shape):
    colors = draw(Palette(shape[-1]), shape)
    assert float(colors.min()) >= -1
    assert float(colors.max()) <= 1
    assert float(colors.mean()) == pytest.approx(0, abs=0.02)
    assert float(colors.var()) == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_is_overwritten_in_place(source, shape):
    out = torch.full(shape, float("nan"))
    where = out.data_ptr()
    source.fill(out, torch.Generator().manual_seed(0))
    assert bool(out.isfinite().all())
    assert (out.data_ptr(), tuple(out.shape)) == (where, shape)


@pytest.mark.parametrize("source", SOURCES)
def test_the_generator_decides_the_draw(source):
    shape = (1, 3, 20, 20)
    assert torch.equal(draw(source, shape, 5), draw(source, shape, 5))
    changes = not isinstance(source, PureColor)
    assert torch.equal(draw(source, shape, 5), draw(source, shape, 6)) != changes


@pytest.mark.parametrize("source", [GaussianNoise(), Palette(4)])
def test_every_draw_is_fresh(source):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.empty(2, 1, 1, 20, 20)
    source.fill(first, generator)
    source.fill(second, generator)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("source", SOURCES)
def test_global_generator_is_left_alone(source):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = draw(source, (1, 3, 20, 20))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(draw(source, (1, 3, 20, 20)), first)
