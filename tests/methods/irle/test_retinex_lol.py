"""On real dark photographs the statistics of stage 1 are those that were published or measured."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.io import imread
from skimage.metrics import peak_signal_noise_ratio

from napari_noiser.methods.irle.retinex.perceptual_losses import band_profile
from napari_noiser.methods.irle.retinex.pseudo_target import gaussian_blur, pseudo_target

DATA = os.environ.get("NAPARI_NOISER_DATA")

pytestmark = pytest.mark.skipif(
    not DATA, reason="NAPARI_NOISER_DATA does not name the folder of test images"
)

PUBLISHED = {  # read from the figures of arXiv 2605.28605
    "high": (2.09, 0.93, 0.26, -0.18, -0.48, -0.70, -0.88, -1.07),
    "low": (2.12, 0.88, 0.29, -0.19, -0.49, -0.69, -0.91, -1.05),
}


def photographs(light):
    """Return the five photographs of one light, each (1, 3, Y, X) in [0, 1]."""
    paths = sorted((Path(str(DATA)) / "lol" / light).glob("*.png"))
    assert len(paths) == 5
    return [torch.from_numpy(imread(path)).permute(2, 0, 1)[None] / 255 for path in paths]


@pytest.mark.parametrize("light", ["high", "low"])
def test_band_profiles_are_the_published_ones(light):
    """Of other photographs of the same set: those in the figure are not known."""
    found = torch.cat([band_profile(image) for image in photographs(light)]).mean(dim=0)
    assert np.sqrt(np.mean((found.numpy() - PUBLISHED[light]) ** 2)) < 0.1


def test_the_reference_is_as_bright_as_the_well_lit_twin():
    scores = []
    for low, high in zip(photographs("low"), photographs("high"), strict=True):
        found = gaussian_blur(pseudo_target(low), 1.0)
        scores.append(peak_signal_noise_ratio(high.numpy(), found.numpy(), data_range=1))
    assert np.mean(scores) > 17.9
