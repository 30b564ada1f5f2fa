"""The blind spot is blind: no estimate depends on its own pixel, and on all others it may."""

import numpy as np
import pytest
import torch
from scenes import untrained

from napari_noiser.methods.irle.blind_spot.likelihood import BlindEstimate, posterior_mean
from napari_noiser.methods.irle.blind_spot.network import BlindSpot
from napari_noiser.methods.irle.blind_spot.network_input import low_passed_log_gain

FORMS = [
    {"spacing": 2, "scales": ()},
    {"spacing": 2, "scales": (8,), "blocks": 2},
    {"spacing": 3, "scales": (8,)},
    {"spacing": 4, "scales": (8, 8)},
]


def scene(*shape):
    """Return stabilized values (C, Y, X) or (C, Z, Y, X), and the logarithm of a gain."""
    random = np.random.default_rng(5)
    values = torch.from_numpy(2 * np.sqrt(random.poisson(8, shape) + 3 / 8)).float()
    return values, torch.from_numpy(random.uniform(0, 2, (1, *shape[1:]))).float()


def blind(model, values, log_gain, plane=0):
    """Return the estimate (C, Y, X) of a plane of a whole image."""
    patch = len(values) * 3**model.ndim
    folded = model.fold(np.full(patch, 6.0), np.eye(patch), torch.device("cpu"))
    tile = torch.cat([values - model.scaling.center, log_gain])[None]
    nothing = (0,) * model.ndim
    with torch.no_grad():
        estimates = list(folded.estimates(tile, ((0, 0),) * model.ndim, nothing))
    estimate, own = estimates[plane]
    assert own.shape[-2:] == values.shape[-2:]
    return estimate


def places(period):
    """Return pixels at every position of the grid, inside, and the corners."""
    inside = [(17 + at // period, 23 + at % period) for at in range(period**2)]
    return [*inside, (0, 0), (0, 69), (65, 0), (65, 69), (1, 68), (64, 2)]


def changed_at(values, *place):
    changed = values.clone()
    changed[(..., *place)] = 90.0
    return changed


@pytest.mark.parametrize("form", FORMS)
def test_a_pixel_leaves_its_own_estimate_as_it_is(form):
    model, (values, gain) = untrained(**form), scene(1, 66, 70)
    before = blind(model, values, gain)
    for place in places(model.recipe.spacing):
        after = blind(model, changed_at(values, *place), gain)
        assert torch.equal(after.light[..., *place], before.light[..., *place])
        assert torch.equal(after.variance[..., *place], before.variance[..., *place])
        assert not torch.equal(after.light, before.light)


def test_all_samples_of_a_pixel_are_blind_to_it():
    model = untrained(samples=3, spacing=2, scales=())
    values, gain = scene(3, 66, 70)
    before = blind(model, values, gain).light
    for place in places(2):
        for sample in range(3):
            changed = values.clone()
            changed[(sample, *place)] = 90
            assert torch.equal(blind(model, changed, gain).light[..., *place], before[..., *place])


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("spacing", [2, 4])
def test_of_a_volume_only_the_own_plane_is_unseen(spacing, samples):
    model = untrained(samples, ndim=3, spacing=spacing, scales=(8,))
    values, gain = scene(samples, 4, 66, 70)
    before = blind(model, values, gain, plane=2).light
    for place in places(spacing):
        for plane in range(4):
            after = blind(model, changed_at(values, plane, *place), gain, plane=2)
            unseen = torch.equal(after.light[..., *place], before[..., *place])
            assert unseen == (plane in (0, 2))


def test_a_plane_at_the_end_of_a_volume_does_not_see_itself_beyond_it():
    model = untrained(ndim=3, scales=(8,))
    values, gain = scene(1, 2, 66, 70)
    for plane in (0, 1):
        before = blind(model, values, gain, plane).light
        after = blind(model, changed_at(values, plane, 30, 30), gain, plane).light
        assert torch.equal(after[..., 30, 30], before[..., 30, 30])
    with pytest.raises(ValueError, match="2 planes at least"):
        blind(model, values[:, :1], gain[:, :1])


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


def test_the_images_own_gain_map_knows_a_pixel_by_one_part_in_256_blocks():
    stable = torch.full((1, 1, 64, 64), 5.0)
    changed = stable.clone()
    changed[..., 40, 40] = 7.25  # twice the light
    moved = (low_passed_log_gain(changed) - low_passed_log_gain(stable)).abs()
    assert 0 < moved.max() <= 1.1 / 256


def test_gain_is_the_logarithm_of_the_inverse_of_light():
    seen = 2 * (torch.full((1, 3, 32, 32), 4 + 3 / 8).sqrt() - (3 / 8) ** 0.5)
    assert torch.allclose(low_passed_log_gain(seen), torch.tensor(0.25).log())


def test_own_pixel_is_weighed_by_what_the_surroundings_leave_open():
    around, read, noise = torch.tensor(4.0), torch.tensor(8.0), torch.tensor(2.0)
    open_, half, closed = (
        float(posterior_mean(BlindEstimate(around, torch.tensor(variance), noise), read))
        for variance in (1e9, 2.0, 0.0)
    )
    assert (open_, half, closed) == pytest.approx((8, 6, 4))
