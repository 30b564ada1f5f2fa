"""On a real fluorescence frame, a short fit to nothing but that frame takes most noise off."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scenes import drained
from skimage.io import imread

from napari_noiser.irle.fitting import fit_blind_spot_steps
from napari_noiser.irle.recipe import BlindSpotRecipe
from napari_noiser.irle.render import denoise_steps

DATA = os.environ.get("NAPARI_NOISER_DATA")

pytestmark = pytest.mark.skipif(
    not DATA, reason="NAPARI_NOISER_DATA does not name the folder of test images"
)


def left(found: NDArray[np.generic], truth: NDArray[np.generic]) -> float:
    """Return the share of the truth's variance that no line over what was found explains."""
    return 1 - float(np.corrcoef(found.ravel(), truth.ravel())[0, 1]) ** 2


def test_a_single_frame() -> None:
    folder = Path(str(DATA)) / "w2s"
    frame, truth = (imread(folder / kind / "040_0.tif") for kind in ("avg1", "avg400"))
    recipe = BlindSpotRecipe(iterations=120, width=12, scales=(16,), crop=64, batch=2)
    _, model = drained(fit_blind_spot_steps([frame], recipe=recipe, device="cpu"))
    _, found = drained(denoise_steps(model, frame, device="cpu"))
    assert left(found, truth) < 0.4 * left(frame, truth)
