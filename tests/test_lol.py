"""On real dark photographs the bundled models reach the paper's scores."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from skimage.io import imread
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_noiser import enhance

DATA = os.environ.get("NAPARI_NOISER_DATA")

pytestmark = pytest.mark.skipif(
    not DATA, reason="NAPARI_NOISER_DATA does not name the folder of test images"
)


def mean_scores(model: str) -> tuple[float, float]:
    """Return mean PSNR (of 8-bit results) and SSIM over the LOL pairs."""
    folder = Path(str(DATA)) / "lol"
    scores = []
    for low in sorted((folder / "low").glob("*.png")):
        truth = imread(folder / "high" / low.name)
        found = enhance(imread(low), model, axes="YXS", dtype="uint8")
        similarity = structural_similarity(
            truth / 255.0, found / 255.0, channel_axis=-1, data_range=1
        )
        scores.append((peak_signal_noise_ratio(truth, found), similarity))
    assert len(scores) == 5
    psnr, ssim = np.mean(scores, axis=0)
    return float(psnr), float(ssim)


def test_noiser() -> None:
    psnr, ssim = mean_scores("noiser")
    assert psnr >= 16.6
    assert ssim >= 0.65


def test_noiser_var3() -> None:
    psnr, _ = mean_scores("noiser-var3")
    assert psnr >= 16.9
