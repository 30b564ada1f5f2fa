"""Dim sample data, made offline from scikit-image's public-domain pictures or from nothing.

Everything is reproducible: the photons are drawn from seed 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LayerData = tuple[NDArray[Any], dict[str, Any], str]

_OFFSET = 100.0  # counts of a camera in the dark
_READ_NOISE = 1.5


def hubble_photon_limited() -> list[LayerData]:
    """Return a short exposure of the Hubble deep field: a few photons a pixel.

    It is an image of 872 x 1000, uint16. The picture is NASA's, from scikit-image.
    """
    from skimage.color import rgb2gray
    from skimage.data import hubble_deep_field

    linear = rgb2gray(hubble_deep_field()) ** 2.2
    exposure = _camera(1.0 + 60.0 * linear)
    return [(exposure, {"name": "Hubble, photon-limited", "axis_labels": ("y", "x")}, "image")]


def dim_photograph() -> list[LayerData]:
    """Return a color photograph taken with far too little light.

    It is an RGB image of 400 x 600, uint8, with values of a few counts. The picture is Rachel
    Michetti's (CC0), from scikit-image.
    """
    from skimage.data import coffee

    photons = 30.0 * (coffee() / 255.0) ** 2.2
    noisy = np.random.default_rng(0).poisson(photons) / 30.0
    dim = np.rint(255.0 * 0.12 * noisy.clip(0, 1) ** (1 / 2.2)).astype(np.uint8)
    return [(dim, {"name": "Dim photograph", "rgb": True}, "image")]


def dim_fluorescence() -> list[LayerData]:
    """Return a simulated dim stack of cell nuclei, and the truth it was exposed from.

    They are the photons expected in each voxel (float32, hidden) and the exposure (uint16), both
    32 x 256 x 256 voxels of 0.5 x 0.2 x 0.2 micrometers. Deeper planes receive less light.
    """
    truth = _nuclei((32, 256, 256), number=40)
    space = {"scale": (0.5, 0.2, 0.2), "units": ("µm",) * 3, "axis_labels": ("z", "y", "x")}
    return [
        (truth, {"name": "Nuclei, truth", "visible": False, **space}, "image"),
        (_camera(truth), {"name": "Dim nuclei", **space}, "image"),
    ]


def _camera(photons: NDArray[Any]) -> NDArray[np.uint16]:
    """Return counts: photon noise, read noise, an offset, and rounding."""
    random = np.random.default_rng(0)
    electrons = random.poisson(photons) + random.normal(_OFFSET, _READ_NOISE, photons.shape)
    counts: NDArray[np.float64] = np.rint(electrons.clip(0))
    return counts.astype(np.uint16)


def _nuclei(shape: tuple[int, int, int], number: int) -> NDArray[np.float32]:
    """Return ellipsoids with a grainy inside, blurred as by a microscope, dimmer with depth."""
    from skimage.filters import gaussian

    random = np.random.default_rng(0)
    grid = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij")
    grain = gaussian(random.normal(size=shape), (1.0, 2.5, 2.5))
    grain = 1.0 + 0.5 * grain / grain.std()
    light = np.zeros(shape, np.float32)
    for _ in range(number):
        center = random.uniform(0, shape)
        radii = random.uniform((4, 9, 9), (7, 18, 18))
        inside = sum(
            ((axis - at) / radius) ** 2
            for axis, at, radius in zip(grid, center, radii, strict=True)
        )
        light[inside < 1] = random.uniform(2.0, 9.0)
    blurred: NDArray[np.float64] = gaussian(light * grain.clip(0.1), (1.2, 1.5, 1.5))
    depth = np.linspace(1.0, 0.4, shape[0], dtype=np.float32)[:, None, None]
    return (0.6 + depth * blurred).astype(np.float32)
