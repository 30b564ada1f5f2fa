"""The network's two ways of computing agree: matrix products and torch's convolutions."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_noiser.srm.model import load_model
from napari_noiser.srm.network import SRM
from napari_noiser.srm.patches import Scratch, gather_taps, patches, spread_taps

FORMS = [(1, 2, 20), (3, 2, 17), (1, 3, 9), (2, 3, 8)]


def convolved(network, image):
    """The network as the paper draws it."""
    hidden = network.convolve(image, network.first_weight, network.first_bias, padding=1)
    hidden = functional.gelu(functional.instance_norm(hidden, eps=1e-5))
    return torch.tanh(
        network.convolve(hidden, network.second_weight, network.second_bias, padding=1)
    )


def with_gradients(network, forward, image):
    """Output, and the gradient of each parameter of a function of it."""
    network.zero_grad()
    output = forward(image)
    (output.sin() * image).sum().backward()
    zero = torch.zeros(())
    gradients = [zero if p.grad is None else p.grad.clone() for p in network.parameters()]
    return [output.detach(), *gradients]


@pytest.mark.parametrize(("channels", "ndim", "side"), FORMS)
def test_products_equal_convolutions_with_their_gradients(channels, ndim, side):
    generator = torch.Generator().manual_seed(0)
    network = SRM(channels, 18, ndim, generator).double()
    image = torch.randn((1, channels, *[side] * ndim), generator=generator, dtype=torch.float64)
    found = with_gradients(network, network, image)
    expected = with_gradients(network, lambda x: convolved(network, x), image)
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).abs().max()) < 1e-11


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 3, 3), (3, 4, 5, 6)])
def test_patches_are_those_of_unfold(shape):
    image = torch.randn(shape, dtype=torch.float64)
    unfolded = image
    for axis in range(1, len(shape)):
        unfolded = unfolded.unfold(axis, 3, 1)
    found = patches(image).movedim(1, -1)
    torch.testing.assert_close(found, unfolded.flatten(len(shape)), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(9, 2, 5, 6), (27, 1, 3, 4, 5)])
def test_spreading_is_gathering_with_zeros_beyond(shape):
    taps = torch.randn(shape, dtype=torch.float64)
    padded = functional.pad(taps, (1, 1) * (len(shape) - 2))
    torch.testing.assert_close(spread_taps(taps), gather_taps(padded))


def test_scratch_serves_again_and_grows():
    scratch, like = Scratch(), torch.empty(0)
    first = scratch.take("columns", (4, 5), like)
    smaller = scratch.take("columns", (3, 2), like)
    assert smaller.shape == (3, 2)
    assert smaller.data_ptr() == first.data_ptr()
    assert scratch.take("columns", (40, 50), like).shape == (40, 50)
    assert scratch.take("columns", (2, 2), like.double()).dtype == torch.float64
    assert scratch.take("hidden", (2, 2), like).data_ptr() != first.data_ptr()


def test_a_tile_does_not_see_what_the_last_one_left():
    model, scratch = load_model("noiser"), Scratch()
    folded = model.fold(np.zeros(9), np.eye(9), torch.device("cpu"))
    halo = ((0, 0), (0, 0))
    for side in (30, 12, 21):
        tile = torch.randn(1, 1, side, side)
        torch.testing.assert_close(folded(tile, halo, scratch), folded(tile, halo))
