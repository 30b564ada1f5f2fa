"""The written-out step is autograd's: the same loss and gradient, and so the same weights."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from napari_noiser.methods.noiser.cpu_training_step import ManualBackward
from napari_noiser.methods.noiser.network import SRM
from napari_noiser.methods.noiser.noise_sources import GaussianNoise, Palette, PureColor
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.methods.noiser.training import regress, total_variation

TRAINED = ("first_weight", "second_weight", "second_bias")  # the first bias cancels
SHORT = Recipe(name="short", iterations=50, size=20, size_3d=8, width=5)


def srm(samples, width, ndim, seed=0, symmetric=False):
    return SRM(samples, width, ndim, torch.Generator().manual_seed(seed), symmetric)


def autograd(network, signal, tv_weight):
    """The loss by torch's convolutions, its gradient left by autograd."""
    network.zero_grad()
    output = network(signal)
    loss = functional.l1_loss(output, signal) + tv_weight * total_variation(output)
    loss.backward()
    return loss.detach()


def gradients(network):
    return {name: getattr(network, name).grad.clone() for name in TRAINED}


@st.composite
def shapes(draw):
    ndim = draw(st.sampled_from([2, 3]))
    sides = [draw(st.integers(1, 9)) for _ in range(ndim - 1)]
    return 1, draw(st.integers(1, 4)), *sides, draw(st.integers(2, 9))


@given(
    shape=shapes(),
    width=st.integers(1, 20),
    tv_weight=st.sampled_from([0.0, 0.7, 2.0]),
    seed=st.integers(0, 2**31),
    symmetric=st.booleans(),
)
@settings(max_examples=60)
def test_loss_and_gradient_are_those_of_autograd(shape, width, tv_weight, seed, symmetric):
    network = srm(shape[1], width, len(shape) - 2, seed, symmetric).double()
    generator = torch.Generator().manual_seed(seed)
    signal = torch.empty(shape, dtype=torch.float64)
    step = ManualBackward(network, signal, tv_weight)
    for _ in range(2):  # the second finds what the first left in memory
        signal.normal_(generator=generator)
        expected = autograd(network, signal, tv_weight), gradients(network)
        found = step(), gradients(network)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_first_bias_has_no_gradient():
    network, signal = srm(2, 6, 2).double(), torch.randn(1, 2, 8, 9, dtype=torch.float64)
    autograd(network, signal, 1.0)
    assert float(network.first_bias.grad.abs().max()) < 1e-12
    network.zero_grad()
    ManualBackward(network, signal, 1.0)()
    assert network.first_bias.grad is None


def plain_loop(network, recipe, shape, seed):
    """Train by autograd and torch's Adam with its defaults."""
    generator = torch.Generator().manual_seed(seed)
    signal, losses = torch.empty(shape), []
    rate, betas = recipe.learning_rate, recipe.betas
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, betas=betas)
    for _ in range(recipe.iterations):
        recipe.source.fill(signal, generator)
        losses.append(float(autograd(network, signal, recipe.tv_weight)))
        optimizer.step()
    return losses


@pytest.mark.parametrize(
    ("samples", "ndim", "changes"),
    [
        (1, 2, {}),
        (3, 2, {}),
        (1, 3, {}),
        (2, 3, {"width": 1}),
        (3, 2, {"source": GaussianNoise((0.1, 0.2, -0.3), 3.0)}),
        (1, 2, {"source": Palette()}),
        (1, 2, {"tv_weight": 0.0}),
        (3, 2, {"learning_rate": 1e-3, "betas": (0.9, 0.99)}),
        (1, 2, {"symmetric": True}),
        (3, 2, {"symmetric": True}),
        (1, 3, {"symmetric": True}),
        (2, 3, {"symmetric": True, "width": 1}),
    ],
)
def test_trained_weights_are_those_of_a_plain_loop(samples, ndim, changes):
    recipe = replace(SHORT, **changes)
    shape = recipe.training_shape(samples, ndim)
    start = srm(samples, recipe.width, ndim, symmetric=recipe.symmetric)
    written_out, plain = deepcopy(start), deepcopy(start)
    losses = [event.loss for event in regress(written_out, recipe, shape, 4)]
    assert losses == pytest.approx(plain_loop(plain, recipe, shape, 4), abs=1e-5)
    for name in TRAINED:
        found, expected, before = (net.state_dict()[name] for net in (written_out, plain, start))
        assert float((found - expected).norm()) < 1e-3 * float((expected - before).norm())


def test_a_pure_color_is_learned_as_in_a_plain_loop():
    # Its kernels' centers cancel like the bias: Adam blows their rounding up, so that weights
    # cannot be compared; the losses do not see it.
    recipe = replace(SHORT, source=PureColor((0.0, 1.0, 0.3)))
    start = srm(3, recipe.width, 2)
    events = regress(deepcopy(start), recipe, (1, 3, 20, 20), 4)
    expected = plain_loop(start, recipe, (1, 3, 20, 20), 4)
    assert [event.loss for event in events] == pytest.approx(expected, abs=1e-5)


def test_a_network_derived_from_srm_is_trained_as_it_is():
    class Still(SRM):
        def forward(self, image):
            return 0 * super().forward(image)

    network = Still(1, 5, 2, torch.Generator().manual_seed(0))
    before = deepcopy(network.state_dict())
    (event,) = regress(network, replace(SHORT, iterations=1), (1, 1, 9, 9), 0)
    signal = torch.empty(1, 1, 9, 9)
    SHORT.source.fill(signal, torch.Generator().manual_seed(0))
    assert event.loss == pytest.approx(float(signal.abs().mean()))
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
