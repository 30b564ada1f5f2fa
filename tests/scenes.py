"""Scenes of a few photons for the tests of the fitted methods, and a recipe that is quick."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.camera.stabilization import stabilize
from napari_noiser.methods.irle.blind_spot.likelihood import Scaling
from napari_noiser.methods.irle.blind_spot.model import BlindSpotModel, make_network
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe

NOISE = CameraNoise(3.0, 50.0, 0.5)
QUICK = BlindSpotRecipe(iterations=3, width=8, scales=(8,), crop=64, batch=2)


def light(shape=(256, 256), seed=0):
    """Return structure of 0 to 20 electrons, the frames of a series alike."""
    random = np.random.default_rng(seed)
    rough = gaussian_filter(random.standard_normal(shape[-2:]), 5)
    return np.broadcast_to(np.clip(8 + 4 * rough / rough.std(), 0, 20), shape)


def counts(electrons, seed=1, noise=NOISE):
    """Return what a camera makes of electrons."""
    random = np.random.default_rng(seed)
    found = random.poisson(electrons) + random.normal(0, noise.read_noise, electrons.shape)
    return noise.gain * found + noise.offset


def crops(shape=(2, 1, 64, 64), seed=0):
    """Return a function that draws stabilized crops of exposures of such a scene."""

    def draw(number):
        truth = np.stack([light(shape[1:], seed=seed + at) for at in range(shape[0])])
        return torch.from_numpy(stabilize(counts(truth, seed=number), NOISE)).float()

    return draw


def untrained(samples=1, ndim=2, gain="given", **changed):
    """Return a model whose every weight counts, its modulation by the gain included."""
    recipe = BlindSpotRecipe(width=8, gain=gain, **changed)
    network = make_network(recipe, samples, ndim, seed=3)
    start = torch.Generator().manual_seed(4)
    weights = {
        name: value.detach() + 0.1 * torch.randn(value.shape, generator=start)
        for name, value in network.named_parameters()
    }
    scaling = Scaling(6.0, 2.0, 0.5, noise=(1.0,) * samples)
    return BlindSpotModel(recipe, samples, ndim, 3, scaling, weights)


def drained(steps):
    """Return all events of a generator, and its return value."""
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            return events, stop.value
