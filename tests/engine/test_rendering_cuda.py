"""On CUDA: the CPU's result, tiles that shrink where memory runs out, and memory given back."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers.compare import largest_difference
from helpers.scenes import scene

from napari_noiser import train
from napari_noiser.engine.enhance import enhance, plan_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.recipes import NoiserModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def models() -> dict[tuple[int, int], NoiserModel]:
    recipe = Recipe(name="short", iterations=60, size=32, size_3d=12)
    forms = [(1, 2), (3, 2), (1, 3)]
    return {form: train(recipe, samples=form[0], ndim=form[1], device="cpu") for form in forms}


@pytest.fixture
def little_memory() -> Iterator[None]:
    gc.collect()
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 150e6) / total)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.mark.parametrize(
    ("shape", "axes", "ndim"),
    [((700, 900), "YX", 2), ((300, 400, 3), "YXS", 2), ((40, 120, 130), "ZYX", 3)],
)
def test_the_result_is_that_of_the_cpu(
    models: dict[tuple[int, int], NoiserModel], shape: tuple[int, ...], axes: str, ndim: int
) -> None:
    model = models[3 if "S" in axes else 1, ndim]
    image = scene(shape, dtype="uint16")
    options = {"axes": axes, "ndim": ndim}
    cuda = enhance(image, model, device="cuda", **options)
    assert largest_difference(cuda, enhance(image, model, device="cpu", **options)) < 1e-5


def test_tiles_shrink_where_memory_runs_out(
    models: dict[tuple[int, int], NoiserModel], little_memory: None
) -> None:
    image = scene((3000, 3000), dtype="uint16")
    with pytest.warns(UserWarning, match="cuda.* is out of memory: going on with tiles of"):
        result = enhance(image, models[1, 2], device="cuda", tile=3000)
    assert largest_difference(result, enhance(image, models[1, 2], device="cpu")) < 1e-5


@pytest.mark.parametrize("ending", ["return", "close"])
def test_memory_is_given_back(models: dict[tuple[int, int], NoiserModel], ending: str) -> None:
    image = scene((500, 600), dtype="uint16")
    enhance(image, models[1, 2], device="cuda")  # what the libraries keep for good is taken by now
    gc.collect()
    before = torch.cuda.memory_allocated()
    steps = plan_steps(make_plan(image, models[1, 2], device="cuda", tile=200))
    for event in steps:
        if ending == "close" and event.stage == "render":
            break
    steps.close()
    del steps
    gc.collect()
    assert torch.cuda.memory_allocated() <= before


def test_gain_and_offset_do_not_matter_there_either(
    models: dict[tuple[int, int], NoiserModel],
) -> None:
    image = scene((200, 300), dtype="uint16").astype(np.float64)
    one = enhance(image, models[1, 2], device="cuda")
    other = enhance(3e-3 * image + 30000, models[1, 2], device="cuda")
    assert largest_difference(one, other) < 1e-4
