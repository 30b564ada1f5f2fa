"""On CUDA: each method beyond the SRM renders as on the CPU, learns, and gives memory back."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.compare import assert_alike
from helpers.models import BOTH, FIRST, QUICK, STRUCTURED, untrained
from helpers.scenes import NOISE, counts, light

from napari_noiser import denoise, enhance, fit, fit_steps, load_model, train
from napari_noiser.methods.base import Method

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

FITS = {"denoise": QUICK, "light": FIRST, "both": BOTH}
RESTORING = replace(STRUCTURED, iterations=100, width=8, scales=(12,), batch=4, size=48)


@pytest.fixture(scope="module")
def frames() -> np.ndarray[Any, Any]:
    return image(256, 256)


def image(*shape: int) -> np.ndarray[Any, Any]:
    return counts(light(shape)).clip(0, 65535).astype("uint16")


def assert_same_on_both(
    image: np.ndarray[Any, Any], model: Method | str, verb: Any = enhance, **options: Any
) -> None:
    expected = verb(image, model, device="cpu", **options)
    assert_alike(verb(image, model, device="cuda", **options), expected, within=1e-4)


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        (enhance, {}),
        (enhance, {"background": "dark"}),
        (denoise, {}),
        (denoise, {"conserve": 2, "max_change": 3}),
        (denoise, {"camera": None, "tile": 100}),
    ],
)
def test_structured_restores_as_on_the_cpu(verb: Any, options: dict[str, Any]) -> None:
    assert_same_on_both(image(300, 310), "structured", verb, **{"camera": NOISE, **options})


def test_structured_restores_volumes_and_colors_as_on_the_cpu() -> None:
    assert_same_on_both(image(6, 60, 70), "structured", axes="ZYX", ndim=3, camera=NOISE)
    colors = np.stack([image(90, 80)] * 3, axis=-1)
    assert_same_on_both(colors, "structured", axes="YXS", colors="kept", camera=NOISE)


def test_memory_is_given_back_after_rendering_a_deep_network() -> None:
    gc.collect()
    enhance(image(200, 200), "structured", device="cuda")
    gc.collect()
    before = torch.cuda.memory_allocated()
    enhance(image(300, 300), "structured", device="cuda", tile=100)
    gc.collect()
    assert torch.cuda.memory_allocated() <= before


@pytest.mark.parametrize(("shape", "ndim"), [((200, 210), 2), ((5, 60, 70), 3)])
def test_a_blind_spot_renders_as_on_the_cpu(shape: tuple[int, ...], ndim: int) -> None:
    model = untrained(ndim=ndim)
    gain = np.linspace(0.5, 2, shape[-1]) * np.ones(shape)
    assert_same_on_both(
        image(*shape), model, denoise, gain_map=gain, ndim=ndim, camera=NOISE, tile=64
    )


@pytest.mark.parametrize("stages", FITS)
def test_a_fit_there_gives_a_model_that_renders_anywhere(
    frames: np.ndarray[Any, Any], stages: str
) -> None:
    model = fit(frames, FITS[stages], camera=NOISE, device="cuda")
    assert_same_on_both(frames, model, camera=NOISE)


@pytest.mark.parametrize("stages", FITS)
def test_a_fit_there_resumes_from_any_step(frames: np.ndarray[Any, Any], stages: str) -> None:
    options: dict[str, Any] = {"camera": NOISE, "device": "cuda"}
    states = [step.state() for step in fit_steps(frames, FITS[stages], **options)]
    whole = [step.loss for step in fit_steps(frames, FITS[stages], **options)]
    for done, state in enumerate(states[:-1], start=1):
        rest = [step.loss for step in fit_steps(frames, FITS[stages], resume=state, **options)]
        assert rest == pytest.approx(whole[done:], rel=0.05)


@pytest.mark.parametrize("ndim", [2, 3])
def test_restoring_is_learned_there_as_on_the_cpu(ndim: int) -> None:
    losses = {}
    for device in ("cpu", "cuda"):
        model = train(RESTORING, ndim=ndim, device=device)
        losses[device] = np.mean(model.losses[-20:])
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=0.1)


@pytest.mark.parametrize("stages", FITS)
def test_memory_is_released_after_a_fit(frames: np.ndarray[Any, Any], stages: str) -> None:
    fit(frames, FITS[stages], camera=NOISE, device="cuda")  # what libraries keep for good
    gc.collect()
    before = torch.cuda.memory_allocated()
    steps = fit_steps(frames, FITS[stages], camera=NOISE, device="cuda")
    next(steps)
    steps.close()
    del steps
    fit(frames, FITS[stages], camera=NOISE, device="cuda")
    gc.collect()
    assert torch.cuda.memory_allocated() <= before


def test_a_saved_model_of_the_device_is_the_same_elsewhere(
    frames: np.ndarray[Any, Any], tmp_path: Any
) -> None:
    model = fit(frames, BOTH, camera=NOISE, device="cuda")
    model.save(tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").fingerprint == model.fingerprint
