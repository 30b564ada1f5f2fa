"""A deeper network: what it reaches, what it learns, and the same result from any tile."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noiser.methods.noiser.exposure import PhotonNoise
from napari_noiser.methods.noiser.model import NoiserModel
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.structured_noise import DeadLeaves, Structure
from napari_noiser.methods.noiser.training import residual_noise_rms, train
from napari_noiser.methods.noiser.unet import (
    UNet,
    middle_plane,
    neighbors_as_channels,
    respond,
    unet_radius,
)
from napari_noiser.methods.patches import Scratch
from napari_noiser.methods.registry import load_model

SMALL = Recipe(
    name="small",
    source=Structure(),
    exposure=PhotonNoise(),
    iterations=3,
    width=4,
    scales=(6, 5),
    batch=2,
    size=32,
    learning_rate=2e-3,
)


@pytest.fixture(scope="module")
def model() -> NoiserModel:
    return train(SMALL, device="cpu")


@pytest.fixture(scope="module")
def volumes() -> NoiserModel:
    return train(SMALL, ndim=3, device="cpu")


def moments(image):
    """Return mean and covariance of all 3x3 (3x3x3) patches, plainly."""
    ndim = image.ndim - 1
    padded = np.pad(image, [(0, 0), *[(1, 1)] * ndim], mode="edge")
    axes = tuple(range(1, ndim + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3,) * ndim, axis=axes)
    taps_first = np.moveaxis(windows, range(ndim + 1, 2 * ndim + 1), axes)
    rows = taps_first.reshape(3**ndim * len(image), -1)
    return rows.mean(axis=1), np.cov(rows, bias=True)


def response(model, image, box=None):
    """Return the response in a box of an image, read with the halo that it needs."""
    folded = model.fold(*moments(image), torch.device("cpu"))
    lengths, halo = image.shape[1:], model.halo
    box = tuple(slice(0, length) for length in lengths) if box is None else box
    low = [min(reach, part.start) for reach, part in zip(halo, box, strict=True)]
    high = [
        min(reach, length - part.stop)
        for reach, part, length in zip(halo, box, lengths, strict=True)
    ]
    read = tuple(
        slice(part.start - a, part.stop + b) for part, a, b in zip(box, low, high, strict=True)
    )
    center = folded.input_offset.reshape(-1, *(1,) * len(box))
    tile = (image[(slice(None), *read)] - center) / folded.input_scale
    corner = tuple(part.start for part in read)
    halo = tuple(zip(low, high, strict=True))
    with torch.inference_mode():
        found = folded(torch.from_numpy(tile).float()[None], halo, Scratch(), corner)
    return found[0].numpy(), folded


@pytest.mark.parametrize("widths", [(3,), (3, 4), (3, 4, 5), (2, 2, 2, 2)])
def test_radius_is_how_far_a_pixel_reaches(widths):
    network = UNet(1, widths, 2, torch.Generator().manual_seed(0))
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
    assert farthest == unet_radius(len(widths))


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_default_size_is_within_its_bounds(ndim):
    network = UNet(1, (16, 32, 56), ndim, torch.Generator().manual_seed(0))
    assert sum(each.numel() for each in network.parameters()) <= 100_000


@settings(max_examples=30)
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


def test_folded_equals_the_network_with_its_normalization(model):
    """Away from the border, where training pads with zeros."""
    image = np.random.default_rng(0).normal(0, 3, (1, 96, 96))
    network = UNet(1, SMALL.widths, 2, torch.Generator())
    network.load_state_dict(model.weights)
    with torch.no_grad():
        light = network(torch.from_numpy((image - image.mean()) / image.std())[None].float())
    found, folded = response(model, image)
    inside = slice(24, -24)
    wanted = light[0, 0].double().numpy() * image.std() + image.mean()
    # The moments repeat the border's pixels; the instance normalization does not.
    np.testing.assert_allclose(
        (found[0] * folded.output_scale + folded.output_offset)[inside, inside],
        wanted[inside, inside],
        atol=0.1,
    )


@settings(max_examples=25)
@given(gain=st.floats(1e-4, 1e4), offset=st.floats(-1e5, 1e5))
def test_gain_and_offset_do_not_matter(model, gain, offset):
    image = np.random.default_rng(3).normal(0, 1, (1, 40, 44))
    plain, folded = response(model, image)
    moved, other = response(model, gain * image + gain * offset)
    np.testing.assert_allclose(moved, plain, atol=1e-3)
    assert other.output_scale == pytest.approx(gain * folded.output_scale, rel=1e-4)
    assert other.output_offset == pytest.approx(
        gain * (folded.output_offset + offset), rel=1e-6, abs=1e-4
    )


def test_colors_keep_their_balance():
    colors = train(replace(SMALL, iterations=1), samples=3, device="cpu")
    image = np.random.default_rng(4).normal(0, 1, (3, 48, 48))
    image += np.array([9.0, 5, 1])[:, None, None]
    _, folded = response(colors, image)
    assert folded.output_offset == pytest.approx(5, abs=0.1)
    light = np.sqrt(np.var([9.0, 5, 1]))
    assert folded.output_scale == pytest.approx(light / (50 / 127.5), rel=0.05)


def test_it_learns_to_see_leaves_through_noise():
    recipe = replace(
        SMALL,
        source=DeadLeaves(smallest=(4.0, 4.0), texture=0.0),
        exposure=PhotonNoise(photons=(2, 2), read_share=0, floor_share=0),
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
        found.append(torch.from_numpy(answer * folded.output_scale + folded.output_offset))
    assert float(residual_noise_rms(torch.stack(found), light, seen)) < 0.75


def test_it_survives_its_file_and_its_seed(tmp_path, model):
    again = load_model(model.save(tmp_path / "deep"))
    assert again.fingerprint == model.fingerprint
    assert again.recipe == model.recipe
    retrained = train(SMALL, device="cpu")
    for name, weight in model.weights.items():
        torch.testing.assert_close(retrained.weights[name], weight, atol=1e-5, rtol=1e-4)


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
    tile = torch.from_numpy(
        (larger - folded.input_offset[:, None, None]) / folded.input_scale
    ).float()[None]
    halo = ((reach, reach), (reach, reach))
    with torch.inference_mode():
        wanted = folded(tile, halo, Scratch(), (0, 0))[0].numpy()
    np.testing.assert_allclose(response(model, image)[0], wanted, atol=2e-5)


def test_a_plane_between_neighbors_is_seen_as_by_a_convolution_of_volumes():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 5, 8, 7, generator=generator)
    kernel = torch.randn(4, 3, 3, 3, 3, generator=generator)
    wanted = torch.nn.functional.conv3d(image, kernel)
    planes = torch.nn.functional.conv2d(neighbors_as_channels(image), kernel.flatten(1, 2))
    found = planes.unflatten(0, (2, 3)).transpose(1, 2)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_in_training_the_middle_plane_is_returned_as_it_will_be_rendered(volumes):
    image = np.random.default_rng(0).normal(0, 3, (1, 3, 96, 96))
    image[0, 2] += 4  # normalized for themselves, planes would forget how bright they are
    network = UNet(1, SMALL.widths, 3, torch.Generator())
    network.load_state_dict(volumes.weights)
    seen = torch.from_numpy((image - image.mean()) / image.std())[None].float()
    with torch.no_grad():
        light = network(seen)
    assert light.shape == middle_plane(seen).shape == (1, 1, 1, 96, 96)
    found, folded = response(volumes, image)
    inside = (0, slice(24, -24), slice(24, -24))
    wanted = light[0, 0].double().numpy() * image.std() + image.mean()
    np.testing.assert_allclose(
        (found[0, 1:2] * folded.output_scale + folded.output_offset)[inside],
        wanted[inside],
        atol=0.4,
    )


@settings(max_examples=25)
@given(
    data=st.data(), depth=st.integers(1, 5), height=st.integers(1, 50), width=st.integers(2, 50)
)
def test_any_tile_of_a_volume_equals_the_whole(volumes, data, depth, height, width):
    image = np.random.default_rng(height * 71 + width).normal(5, 2, (1, depth, height, width))
    box = []
    for length in (depth, height, width):
        start = data.draw(st.integers(0, length - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, length))))
    whole, _ = response(volumes, image)
    part, _ = response(volumes, image, tuple(box))
    np.testing.assert_allclose(part, whole[(slice(None), *box)], atol=2e-5)


def test_a_plane_sees_its_two_neighbors_and_no_others(volumes):
    image = np.random.default_rng(6).normal(5, 2, (1, 7, 30, 30))
    folded = volumes.fold(*moments(image), torch.device("cpu"))

    def planes(changed):
        tile = torch.from_numpy((changed - folded.input_offset[0]) / folded.input_scale).float()[
            None
        ]
        with torch.inference_mode():
            return folded(tile, ((0, 0),) * 3, Scratch(), (0, 0, 0))[0, 0].numpy()

    other = image.copy()
    other[0, 3] += 5 * np.eye(30)
    moved = np.abs(planes(other) - planes(image)).max(axis=(1, 2)) > 1e-6
    np.testing.assert_array_equal(moved.nonzero()[0], [2, 3, 4])


def test_where_a_volume_ends_its_last_plane_but_one_stands_for_a_neighbor(volumes):
    image = np.random.default_rng(7).normal(5, 2, (1, 4, 30, 34))
    mean, covariance = moments(image)
    folded = volumes.fold(mean, covariance, torch.device("cpu"))
    longer = np.concatenate([image[:, 1:2], image, image[:, 2:3]], axis=1)

    def found(volume, in_z):
        tile = torch.from_numpy((volume - folded.input_offset[0]) / folded.input_scale).float()[
            None
        ]
        halo = (in_z, (0, 0), (0, 0))
        with torch.inference_mode():
            return folded(tile, halo, Scratch(), (0, 0, 0)).numpy()

    np.testing.assert_allclose(found(image, (0, 0)), found(longer, (1, 1)), atol=2e-5)


def test_alike_planes_come_out_alike_and_as_one_of_them(volumes):
    plane = np.random.default_rng(8).normal(5, 2, (1, 1, 40, 44))
    pile, folded = response(volumes, plane.repeat(5, axis=1))
    alone, of_one = response(volumes, plane)
    np.testing.assert_allclose(pile, alone.repeat(5, axis=1), atol=2e-5)
    assert folded.output_scale == pytest.approx(of_one.output_scale)
    assert folded.noise_std == pytest.approx(of_one.noise_std)


def test_light_and_noise_of_a_volume_are_those_within_its_planes():
    """Unlike planes, as of different scenes, have nothing in common along z."""
    planes = train(replace(SMALL, iterations=1), device="cpu")
    volumes = train(replace(SMALL, iterations=1), ndim=3, device="cpu")
    image = np.random.default_rng(9).normal(5, 2, (1, 6, 64, 64))
    image += 4 * np.random.default_rng(10).normal(0, 1, (1, 6, 8, 8)).repeat(8, 2).repeat(8, 3)
    _, one = response(volumes, image)
    each = [response(planes, image[:, at])[1] for at in range(6)]
    assert one.noise_std == pytest.approx(
        np.sqrt(np.mean([it.noise_std**2 for it in each])), rel=0.02
    )
    assert one.output_scale == pytest.approx(
        np.sqrt(np.mean([it.output_scale**2 for it in each])), rel=0.05
    )


def test_volumes_of_three_planes_are_learned_from(volumes):
    assert SMALL.training_shape(1, 3) == (2, 1, 3, 32, 32)
    assert np.isfinite(volumes.losses).all()
    assert volumes.halo == (1, 19, 19)
    assert volumes.weights["first_weight"].shape == (4, 1, 3, 3, 3)
    again = train(SMALL, ndim=3, device="cpu")
    for name, weight in volumes.weights.items():
        torch.testing.assert_close(again.weights[name], weight, atol=1e-5, rtol=1e-4)


def test_a_form_for_volumes_is_bundled_in_one_size_and_serves_colors():
    assert load_model("structured", samples=3, ndim=3).samples == 1
    with pytest.raises(ValueError, match=r"not bundled .* 3-D; train it .*samples=1, ndim=3"):
        load_model("structured-tiny", samples=3, ndim=3)
