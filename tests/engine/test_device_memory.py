"""Running out of memory: tiles are halved, then go to the CPU, and nothing is kept."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from helpers.compare import largest_difference
from helpers.scenes import scene
from torch import Tensor

from napari_noiser import enhance, load_model
from napari_noiser.engine.device_memory import DeviceMemory
from napari_noiser.engine.enhance import plan_steps
from napari_noiser.engine.plan import make_plan
from napari_noiser.engine.tiles import Tile, tiles
from napari_noiser.methods.noiser.model import NoiserModel
from napari_noiser.methods.patches import Halo, Scratch

MODEL = load_model("noiser")


class Cramped:
    """A method whose device has room for tiles of so many voxels, halo included."""

    def __init__(self, most: int, model: NoiserModel = MODEL) -> None:
        self.most, self.model = most, model
        self.samples, self.ndim, self.halo = model.samples, model.ndim, model.halo
        self.voxel_bytes, self.traits = model.voxel_bytes, model.traits
        self.failures = 0

    def describe(self) -> dict[str, object]:
        return self.model.describe()

    def fold(self, *arguments: object) -> CrampedTiles:
        return CrampedTiles(self, self.model.fold(*arguments))


class CrampedTiles:
    def __init__(self, method: Cramped, folded: object) -> None:
        self.method, self.folded = method, folded
        self.input_offset, self.input_scale, self.grid_period = (
            folded.input_offset,
            folded.input_scale,
            folded.grid_period,
        )

    def to(self, device: torch.device) -> CrampedTiles:
        return self

    def __call__(
        self, tile: Tensor, halo: Halo, scratch: Scratch, corner: tuple[int, ...]
    ) -> Tensor:
        if tile.numel() > self.method.most:
            self.method.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.folded(tile, halo, scratch, corner)


@pytest.mark.parametrize("ndim", [2, 3])
def test_tiles_are_halved_until_they_fit_and_the_result_stays(ndim: int) -> None:
    image = scene((20, 90, 110) if ndim == 3 else (2, 90, 110), dtype="uint16")
    method = Cramped(36**ndim, load_model("noiser", ndim=ndim))
    with pytest.warns(UserWarning, match="out of memory: going on with tiles of") as warned:
        result = enhance(image, method, ndim=ndim, tile=110)
    assert largest_difference(result, enhance(image, method.model, ndim=ndim)) < 1e-6
    assert method.failures == len(warned) <= 3, "it is not tried again and again"


def test_at_last_it_is_the_cpu() -> None:
    device_memory = DeviceMemory(torch.device("cuda"))
    (tile,) = tiles((100, 90), 1000, (2, 2))
    covered = np.zeros((100, 90), int)

    def act(piece: Tile) -> str:
        if device_memory.device.type != "cpu":
            raise RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)")
        return "done"

    with pytest.warns(UserWarning, match="out of memory") as warned:
        found = list(device_memory.run_in_pieces(tile, (2, 2), act))
    for piece, result in found:
        assert result == "done"
        covered[piece.inner] += 1
    assert (covered == 1).all()
    assert [str(each.message).split(" (")[0] for each in warned] == [
        "cuda is out of memory: going on with tiles of 50",
        "cuda is out of memory: going on with tiles of 25",
        "cuda is out of memory: going on on the CPU",
    ]
    assert device_memory.device == torch.device("cpu")


def test_a_device_without_room_for_the_method_leaves_it_to_the_cpu() -> None:
    device_memory = DeviceMemory(torch.device("cuda"))

    def act() -> str:
        if device_memory.device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")
        return "folded"

    with pytest.warns(UserWarning, match="cuda is out of memory: going on on the CPU"):
        assert device_memory.run_with_cpu_fallback(act) == "folded"
    device_memory.device = torch.device("cuda")
    with pytest.raises(ZeroDivisionError):
        device_memory.run_with_cpu_fallback(lambda: 1 // 0)


def test_what_the_result_says_of_its_device_is_where_it_was_computed() -> None:
    plan = make_plan(scene((30, 30)), "noiser")
    plan.device_memory.device = torch.device("meta")
    assert plan.describe()["device"] == "meta"


def test_where_nothing_fits_the_error_says_so() -> None:
    with (
        pytest.warns(UserWarning, match="out of memory"),
        pytest.raises(MemoryError, match=r"out of memory with tiles of \d+ already .*2.00 GiB"),
    ):
        enhance(scene((90, 90)), Cramped(10))


def test_other_errors_pass() -> None:
    class Broken(CrampedTiles):
        def __call__(self, *arguments: object) -> Tensor:
            raise RuntimeError("no kernel image is available")

    method = Cramped(10**9)
    method.fold = lambda *arguments: Broken(method, MODEL.fold(*arguments))
    with pytest.raises(RuntimeError, match="no kernel image"):
        enhance(scene((30, 30)), method)


@pytest.mark.parametrize("ending", ["return", "close", "error"])
def test_nothing_is_held_after_a_run(ending: str) -> None:
    plan = make_plan(scene((60, 70)), "noiser", tile=20)
    held = []

    class Noted(Scratch):
        def take(self, *arguments: object) -> Tensor:
            tensor = super().take(*arguments)
            held.append(weakref.ref(tensor.untyped_storage()))
            return tensor

    plan.device_memory.scratch = Noted()
    steps = plan_steps(plan)
    if ending == "return":
        for _ in steps:
            pass
    else:
        for _ in range(15):
            next(steps)
    if ending == "close":
        steps.close()
    elif ending == "error":
        with pytest.raises(ZeroDivisionError):
            steps.throw(ZeroDivisionError())
    gc.collect()
    assert held
    assert not any(reference() is not None for reference in held)
