"""A deeper network: what it reaches, what it learns, and the same result from any tile."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noiser.srm.deep import DeepSRM, radius, respond
from napari_noiser.srm.exposure import Photons
from napari_noiser.srm.model import Model, load_model
from napari_noiser.srm.patches import Scratch
from napari_noiser.srm.recipe import Recipe
from napari_noiser.srm.structure import DeadLeaves, Structure
from napari_noiser.srm.training import left_noise, train

SMALL = Recipe(
    name="small",
    source=Structure(),
    exposure=Photons(),
    iterations=3,
    width=4,
    scales=(6, 5),
    batch=2,
    size=32,
    learning_rate=2e-3,
)


@pytest.fixture(scope="module")
def model() -> Model:
    return train(SMALL, device="cpu")


def moments(image):
    """Return mean and covariance of all 3x3 patches, plainly."""
    padded = np.pad(image, [(0, 0), (1, 1), (1, 1)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    rows = windows.transpose(0, 3, 4, 1, 2).reshape(9 * len(image), -1)
    return rows.mean(axis=1), np.cov(rows, bias=True)


def response(model, image, box=None):
    """Return the response in a box of an image, read with the halo that it needs."""
    folded = model.fold(*moments(image), torch.device("cpu"))
    lengths, (reach, _) = image.shape[1:], model.halo
    box = tuple(slice(0, length) for length in lengths) if box is None else box
    low = [min(reach, part.start) for part in box]
    high = [min(reach, length - part.stop) for part, length in zip(box, lengths, strict=True)]
    read = tuple(
        slice(part.start - a, part.stop + b) for part, a, b in zip(box, low, high, strict=True)
    )
    tile = (image[(slice(None), *read)] - folded.centre[:, None, None]) / folded.scale
    corner = tuple(part.start for part in read)
    halo = tuple(zip(low, high, strict=True))
    with torch.inference_mode():
        found = folded(torch.from_numpy(tile).float()[None], halo, Scratch(), corner)
    return found[0].numpy(), folded


@pytest.mark.parametrize("widths", [(3,), (3, 4), (3, 4, 5), (2, 2, 2, 2)])
def test_radius_is_how_far_a_pixel_reaches(widths):
    network = DeepSRM(1, widths, torch.Generator().manual_seed(0))
    weights, step = dict(network.named_parameters()), 2 ** (len(widths) - 1)
    image = torch.randn(1, 1, 24 * step, 24 * step, generator=torch.Generator().manual_seed(1))
    farthest = 0
    with torch.no_grad():
        before = respond(weights, image, len(widths))
        for at in range(12 * step, 13 * step):
            changed = image.clone()
            changed[..., at, at] += 1e4
            moved = (respond(weights, changed, len(widths)) != before)[0, 0].nonzero()
            farthest = max(farthest, int((moved - at).abs().max()))
    assert farthest == radius(len(widths))


def test_the_default_size_is_within_its_bounds():
    network = DeepSRM(1, (16, 32, 56), torch.Generator().manual_seed(0))
    assert sum(each.numel() for each in network.parameters()) <= 100_000


@settings(max_examples=30, deadline=None)
@given(data=st.data(), height=st.integers(1, 70), width=st.integers(1, 70))
def test_any_tile_equals_the_whole(model, data, height, width):
    image = np.random.default_rng(height * 71 + width).normal(5, 2, (1, height, width))
    image[0, 0, 0] += 1  # a single pixel has a structure, too
    if height * width == 1:
        return
    box = []
    for length in (height, width):
        start = data.draw(st.integers(0, length - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, length))))
    whole, _ = response(model, image)
    part, _ = response(model, image, tuple(box))
    np.testing.assert_allclose(part, whole[(slice(None), *box)], atol=2e-5)


def test_folded_equals_the_network_with_its_normalisation(model):
    """Away from the border, where training pads with zeros."""
    image = np.random.default_rng(0).normal(0, 3, (1, 96, 96))
    network = DeepSRM(1, SMALL.widths, torch.Generator())
    network.load_state_dict(model.weights)
    with torch.no_grad():
        light = network(torch.from_numpy((image - image.mean()) / image.std())[None].float())
    found, folded = response(model, image)
    inside = slice(24, -24)
    wanted = light[0, 0].double().numpy() * image.std() + image.mean()
    # The moments repeat the border's pixels; the instance normalisation does not.
    np.testing.assert_allclose(
        (found[0] * folded.unit + folded.middle)[inside, inside], wanted[inside, inside], atol=0.1
    )


@settings(max_examples=25, deadline=None)
@given(gain=st.floats(1e-4, 1e4), offset=st.floats(-1e5, 1e5))
def test_gain_and_offset_do_not_matter(model, gain, offset):
    image = np.random.default_rng(3).normal(0, 1, (1, 40, 44))
    plain, folded = response(model, image)
    moved, other = response(model, gain * image + gain * offset)
    np.testing.assert_allclose(moved, plain, atol=1e-3)
    assert other.unit == pytest.approx(gain * folded.unit, rel=1e-4)
    assert other.middle == pytest.approx(gain * (folded.middle + offset), rel=1e-6, abs=1e-4)


def test_colours_keep_their_balance():
    colours = train(replace(SMALL, iterations=1), channels=3, device="cpu")
    image = np.random.default_rng(4).normal(0, 1, (3, 48, 48))
    image += np.array([9.0, 5, 1])[:, None, None]
    _, folded = response(colours, image)
    assert folded.middle == pytest.approx(5, abs=0.1)
    light = np.sqrt(np.var([9.0, 5, 1]))
    assert folded.unit == pytest.approx(light / (50 / 127.5), rel=0.05)


def test_it_learns_to_see_leaves_through_noise():
    recipe = replace(
        SMALL,
        source=DeadLeaves(smallest=(4.0, 4.0), texture=0.0),
        exposure=Photons(photons=(2, 2), read_share=0, floor_share=0),
        iterations=250,
        width=8,
        scales=(12,),
    )
    learned = train(recipe, device="cpu")
    assert np.mean(learned.losses[-20:]) < 0.7 * np.mean(learned.losses[:20])
    signal = torch.empty(8, 1, 96, 96)
    recipe.source.fill(signal, torch.Generator().manual_seed(9))
    seen, light = recipe.exposure.expose(signal, torch.Generator().manual_seed(9))
    found = []
    for image in seen.double().numpy():
        answer, folded = response(learned, image)
        found.append(torch.from_numpy(answer * folded.unit + folded.middle))
    assert float(left_noise(torch.stack(found), light, seen)) < 0.75


def test_it_survives_its_file_and_its_seed(tmp_path, model):
    again = load_model(model.save(tmp_path / "deep"))
    assert again.fingerprint == model.fingerprint
    assert again.recipe == model.recipe
    retrained = train(SMALL, device="cpu")
    for name, weight in model.weights.items():
        torch.testing.assert_close(retrained.weights[name], weight, atol=1e-5, rtol=1e-4)


def test_volumes_are_refused():
    with pytest.raises(ValueError, match=r"ndim must be 2 \(planes\) for 'small'"):
        train(SMALL, ndim=3)


@pytest.mark.parametrize("side", [1, 2, 30, 90])
def test_where_the_image_ends_it_is_mirrored(model, side):
    image = np.random.default_rng(5).normal(5, 2, (1, side, 64))
    mean, covariance = moments(image)
    folded = model.fold(mean, covariance, torch.device("cpu"))
    reach = model.halo[0] + 1  # a multiple of what the coarsest scale divides
    around = ((0, 0), (reach, reach), (reach, reach))
    larger = np.pad(image, around, mode="reflect" if side > 1 else "edge")
    if side == 1:
        larger[..., :reach], larger[..., -reach:] = (
            larger[..., 2 * reach : reach : -1],
            larger[..., -reach - 2 : -2 * reach - 2 : -1],
        )
    tile = torch.from_numpy((larger - folded.centre[:, None, None]) / folded.scale).float()[None]
    halo = ((reach, reach), (reach, reach))
    with torch.inference_mode():
        wanted = folded(tile, halo, Scratch(), (0, 0))[0].numpy()
    np.testing.assert_allclose(response(model, image)[0], wanted, atol=2e-5)
