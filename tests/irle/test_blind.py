"""The blind spot is blind: no estimate depends on its own pixel, and on all others it may."""

import numpy as np
import pytest
import torch

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.irle.light import Scaling
from napari_noiser.irle.model import BlindSpotModel, blank
from napari_noiser.irle.network import BlindSpot
from napari_noiser.irle.recipe import BlindSpotRecipe
from napari_noiser.irle.render import open_rendering

NOISE = CameraNoise(2.0, 100.0, 1.5)
FORMS = [
    {"spacing": 2, "scales": ()},
    {"spacing": 2, "scales": (8,), "blocks": 2},
    {"spacing": 3, "scales": (8,)},
    {"spacing": 4, "scales": (8, 8)},
]


def untrained(channels=1, neighbours=0, **changed):
    """Return a model whose every weight counts, its modulation by the gain included."""
    recipe = BlindSpotRecipe(width=8, **changed)
    network = blank(recipe, channels, neighbours, seed=3)
    start = torch.Generator().manual_seed(4)
    weights = {
        name: value.detach() + 0.1 * torch.randn(value.shape, generator=start)
        for name, value in network.named_parameters()
    }
    return BlindSpotModel(recipe, channels, neighbours, 3, Scaling(6.0, 2.0, 0.5), True, weights)


def scene(shape):
    random = np.random.default_rng(5)
    return random.poisson(8, shape) * 2.0 + 100


def gain_map(shape):
    return np.random.default_rng(6).uniform(1, 5, shape)


def blind(model, image, gain, frame=0):
    sides = gain.shape[-2:]
    rendering = open_rendering(model, image, noise=NOISE, gain=gain, device="cpu")
    return rendering.blind(frame, *(slice(0, length) for length in sides))


def places(period):
    """Return pixels at every position of the grid, inside, and the corners."""
    inside = [(17 + at // period, 23 + at % period) for at in range(period**2)]
    return [*inside, (0, 0), (0, 69), (65, 0), (65, 69), (1, 68), (64, 2)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [0.0, 1e6])
def test_a_pixel_leaves_its_own_estimate_as_it_is(form, count):
    model, image, gain = untrained(**form), scene((66, 70)), gain_map((66, 70))
    before = blind(model, image, gain)
    for place in places(model.recipe.spacing):
        changed = image.copy()
        changed[place] = count
        after = blind(model, changed, gain)
        assert torch.equal(after.light[..., *place], before.light[..., *place])
        assert torch.equal(after.variance[..., *place], before.variance[..., *place])
        assert not torch.equal(after.light, before.light)


def test_all_samples_of_a_pixel_are_blind_to_it():
    model = untrained(channels=3, spacing=2, scales=())
    image, gain = scene((66, 70, 3)), gain_map((66, 70))
    before = blind(model, image, gain).light
    for place in places(2):
        for sample in range(3):
            changed = image.copy()
            changed[(*place, sample)] = 900
            assert torch.equal(blind(model, changed, gain).light[..., *place], before[..., *place])


@pytest.mark.parametrize("spacing", [2, 4])
def test_with_neighbouring_frames_only_the_own_one_is_unseen(spacing):
    model = untrained(neighbours=1, spacing=spacing, scales=(8,))
    image, gain = scene((4, 66, 70)), gain_map((66, 70))
    before = blind(model, image, gain, frame=2).light
    for place in places(spacing):
        for frame in range(4):
            changed = image.copy()
            changed[(frame, *place)] = 900
            after = blind(model, changed, gain, frame=2).light
            unseen = torch.equal(after[..., *place], before[..., *place])
            assert unseen == (frame in (0, 2))


def test_a_frame_at_the_end_of_a_series_does_not_see_itself_beyond_it():
    model = untrained(neighbours=1, scales=(8,))
    image, gain = scene((2, 66, 70)), gain_map((66, 70))
    for frame in (0, 1):
        before = blind(model, image, gain, frame).light
        changed = image.copy()
        changed[frame, 30, 30] = 900
        after = blind(model, changed, gain, frame).light
        assert torch.equal(after[..., 30, 30], before[..., 30, 30])


@pytest.mark.parametrize("spacing", [2, 3, 4])
def test_of_all_phases_only_the_own_one_is_unseen(spacing):
    """The gradient says which pixels an estimate has seen."""
    start = torch.Generator().manual_seed(0)
    network = BlindSpot(1, 1, (8, 8), 1, spacing, start)
    side = 16 * spacing
    seen = torch.randn(1, 1, side, side, generator=start).requires_grad_(True)
    middle = side // 2
    network(seen, torch.zeros(1, 1, side, side))[0, 0, middle, middle].backward()
    near = seen.grad[0, 0, middle - spacing : middle + spacing + 1, middle - spacing :][
        :, : 2 * spacing + 1
    ]
    own = torch.zeros_like(near, dtype=torch.bool)
    own[::spacing, ::spacing] = True
    assert (near[own] == 0).all()
    assert (near[~own] != 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_nothing_beyond_the_radius_is_seen(form):
    model = untrained(**form)
    radius, grid = model.recipe.radius, model.recipe.grid
    side = (2 * radius // grid + 3) * grid
    network = model.network(torch.device("cpu"))
    for offset in (0, 1, model.recipe.spacing, grid - 1):
        middle = side // 2 + offset
        inputs = [torch.randn(1, 1, side, side).requires_grad_(True) for _ in range(2)]
        network(*inputs)[0, 0, middle, middle].backward()
        for each in inputs:
            rows, columns = each.grad[0, 0].nonzero().T
            assert max(int((at - middle).abs().max()) for at in (rows, columns)) <= radius
