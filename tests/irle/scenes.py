"""Scenes of a few photons for the tests of this folder, and a recipe that is quick."""

import numpy as np
from scipy.ndimage import gaussian_filter

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.irle.recipe import BlindSpotRecipe

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


def drained(steps):
    """Return all events of a generator, and its return value."""
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            return events, stop.value
