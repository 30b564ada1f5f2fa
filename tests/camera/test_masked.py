"""What is masked is not taken for counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from napari_noiser.camera.correlation import noise_correlation, residual_whiteness
from napari_noiser.camera.noise_model import CameraNoise, estimate_noise
from napari_noiser.camera.outliers import find_outliers, repair_outliers
from napari_noiser.camera.stabilization import stabilize

NOISE = CameraNoise(1.0)
READERS: list[Callable[[Any], Any]] = [estimate_noise, noise_correlation, residual_whiteness]
READERS += [partial(each, noise=NOISE) for each in (repair_outliers, find_outliers, stabilize)]


@pytest.mark.parametrize("read", READERS)
def test_a_masked_array_is_refused(read: Callable[[Any], Any]) -> None:
    counts = np.random.default_rng(0).poisson(np.linspace(5, 90, 128), (128, 128)).astype(float)
    masked = np.ma.masked_array(counts, counts > 80)
    with pytest.raises(TypeError, match="mask of its own"):
        read(masked)
    read(masked.data)
