"""Folding patch moments into a network equals the plain network, normalized over the image."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_noiser.methods.noiser.fold import fold
from napari_noiser.methods.noiser.network import SRM, convolution

FORMS = [(1, 2), (3, 2), (1, 3), (3, 3)]
CPU = torch.device("cpu")


def random_weights(samples, ndim, width=6, seed=0):
    network = SRM(samples, width, ndim, torch.Generator().manual_seed(seed))
    return {name: 3 * value for name, value in network.state_dict().items()}


def random_image(samples, ndim, seed=0):
    sides = (13, 17) if ndim == 2 else (7, 8, 9)
    rng = np.random.default_rng(seed)
    steps = np.linspace(0, 2, sides[-1])  # a ramp: the border must matter
    return rng.normal(size=(samples, *sides)) + steps


def replicate(image, by=1):
    return functional.pad(image, [by] * 2 * (image.ndim - 2), mode="replicate")


def normalize(hidden):
    """Instance norm by the population's variance, with no eps."""
    axes = tuple(range(2, hidden.ndim))
    spread = hidden.var(axes, keepdim=True, correction=0).sqrt()
    return (hidden - hidden.mean(axes, keepdim=True)) / spread


def plain(weights, image):
    """The whole network before tanh, in float64; each convolution pads its own input."""
    image = torch.from_numpy(np.asarray(image, float))[None]
    w = {name: value.double() for name, value in weights.items()}
    conv = convolution(image.ndim - 2)
    hidden = functional.gelu(normalize(conv(replicate(image), w["first_weight"], w["first_bias"])))
    return conv(replicate(hidden), w["second_weight"], w["second_bias"])[0].numpy()


def padded_once(weights, image):
    """The same, but the image is padded by 2 and nothing after it."""
    image = torch.from_numpy(np.asarray(image, float))[None]
    w = {name: value.double() for name, value in weights.items()}
    conv = convolution(image.ndim - 2)
    true = conv(replicate(image), w["first_weight"], w["first_bias"])
    axes = tuple(range(2, true.ndim))
    hidden = conv(replicate(image, 2), w["first_weight"], w["first_bias"])
    hidden = hidden - true.mean(axes, keepdim=True)
    hidden = hidden / true.var(axes, keepdim=True, correction=0).sqrt()
    return conv(functional.gelu(hidden), w["second_weight"], w["second_bias"])[0].numpy()


def moments(image):
    """Mean and 1/N covariance of the 3x3 patches, channel by channel in the kernel's order."""
    ndim = image.ndim - 1
    padded = np.pad(image, [(0, 0), *[(1, 1)] * ndim], mode="edge")
    axes = tuple(range(1, ndim + 1))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3,) * ndim, axes)
    patches = np.moveaxis(windows, 0, ndim).reshape(-1, len(image) * 3**ndim)
    return patches.mean(axis=0), np.cov(patches.T, bias=True)


def folded(weights, image, region=None, halo=None):
    """What `fold` renders of an image, or of a region of it that carries a halo."""
    network = fold(weights, *moments(image), CPU)
    ndim = image.ndim - 1
    centered = (image - network.input_offset.reshape(-1, *(1,) * ndim)) / network.input_scale
    tile = centered if region is None else centered[(slice(None), *region)]
    tile = torch.from_numpy(tile.astype(np.float32))[None]
    return network(tile, halo or ((0, 0),) * ndim)[0].numpy()


@pytest.mark.parametrize(("samples", "ndim"), FORMS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_folded_equals_plain(samples, ndim, seed):
    weights = random_weights(samples, ndim, seed=seed)
    image = random_image(samples, ndim, seed)
    found = folded(weights, image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain(weights, image), atol=2e-5)


@pytest.mark.parametrize(("samples", "ndim"), FORMS)
def test_padding_once_by_two_differs_at_the_border_alone(samples, ndim):
    weights, image = random_weights(samples, ndim), random_image(samples, ndim)
    difference = np.abs(padded_once(weights, image) - folded(weights, image))
    inner = (slice(None), *(slice(1, -1),) * ndim)
    assert difference[inner].max() < 2e-5
    assert difference.max() > 0.05


@pytest.mark.parametrize(("samples", "ndim"), FORMS)
@pytest.mark.parametrize("low", [0, 1, 2, 3])
def test_tile_with_a_halo_equals_the_whole(samples, ndim, low):
    """A tile from `low` on, and up to one voxel before the end in the last axis."""
    weights, image = random_weights(samples, ndim), random_image(samples, ndim)
    sides = image.shape[1:]
    stops = (*sides[:-1], sides[-1] - 1)
    carried = min(low, 2)
    region = tuple(slice(low - carried, side) for side in sides)
    halo = (*((carried, 0),) * (ndim - 1), (carried, 1))
    kept = (slice(None), *(slice(low, stop) for stop in stops))
    found = folded(weights, image, region, halo)
    np.testing.assert_allclose(found, folded(weights, image)[kept], atol=2e-5)


@pytest.mark.parametrize(("gain", "offset"), [(1e-6, 0.0), (1e6, -5.0), (3.0, 30000.0)])
def test_gain_and_offset_leave_the_response(gain, offset):
    weights, image = random_weights(3, 2), random_image(3, 2)
    found = folded(weights, gain * image + offset)
    np.testing.assert_allclose(found, folded(weights, image), atol=2e-5)


def test_negative_gain_changes_the_response():
    weights, image = random_weights(1, 2), random_image(1, 2)
    assert np.abs(folded(weights, -image) - folded(weights, image)).max() > 0.1


def test_channel_without_signal_stays_finite():
    """Its own filters have no variance but rounding; they must not blow up."""
    weights, image = random_weights(3, 2), random_image(3, 2)
    image[1] = 7.0
    weights["first_weight"][0] = 0
    weights["first_weight"][0, 1] = torch.linspace(-1, 2, 9).reshape(3, 3)
    found = folded(weights, image)
    assert np.isfinite(found).all()
    silent = dict(weights, second_weight=weights["second_weight"].clone())
    silent["second_weight"][:, 0] = 0
    np.testing.assert_allclose(found, folded(silent, image), atol=1e-3)


def test_first_bias_cancels_in_the_normalization():
    weights, image = random_weights(3, 2), random_image(3, 2)
    moved = dict(weights, first_bias=weights["first_bias"] + 11)
    np.testing.assert_allclose(folded(moved, image), folded(weights, image), rtol=0, atol=1e-6)
