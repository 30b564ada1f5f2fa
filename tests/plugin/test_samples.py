"""The samples are dim, reproducible, offline, and become visible."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from napari.layers import Image, Layer

import napari_noiser.plugin.samples as samples
from napari_noiser.plugin.layers.enhance_layer import enhance_layer

ALL = (samples.hubble_photon_limited, samples.dim_photograph, samples.dim_fluorescence)


@cache
def made(sample: Callable[[], list[samples.LayerData]]) -> list[samples.LayerData]:
    return sample()


@cache
def enhanced(sample: Callable[[], list[samples.LayerData]]) -> Image:
    return enhance_layer(Layer.create(*made(sample)[-1]))


@pytest.fixture(autouse=True)
def offline(monkeypatch) -> None:
    def refuse(*args, **kwargs):
        raise OSError("a sample tried to reach the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("sample", ALL)
def test_sample_is_dim_and_reproducible(sample) -> None:
    layers = made(sample)
    again = sample()
    dim, _, kind = layers[-1]
    assert kind == "image"
    assert np.percentile(dim, 90) < 0.13 * np.iinfo(dim.dtype).max
    for (first, *_), (second, *_) in zip(layers, again, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("sample", ALL)
def test_sample_becomes_visible(sample) -> None:
    layer, result = Layer.create(*made(sample)[-1]), enhanced(sample)
    np.testing.assert_array_equal(result.scale, layer.scale)
    assert result.units == layer.units
    gray = enhance_layer(layer, "noiser")
    assert 0.4 < float(gray.data.mean()) < 0.6
    darkest, brightest = np.percentile(result.data, (1, 99.9))
    assert brightest - darkest > 0.4


def test_fluorescence_comes_nearer_to_its_truth() -> None:
    (truth, *_), (dim, *_) = made(samples.dim_fluorescence)
    found = enhanced(samples.dim_fluorescence).data
    assert _correlation(found, truth) > _correlation(dim, truth) + 0.1


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
