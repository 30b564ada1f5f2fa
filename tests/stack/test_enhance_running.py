"""How enhance goes about it: what it reads, holds, reports and leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_reference import assert_same, largest_difference, scene

from napari_noiser import enhance
from napari_noiser.stack.enhance import render_steps
from napari_noiser.stack.work import plan

IMAGE = scene((60, 70), dtype="uint16")
ENHANCED = enhance(IMAGE)


class Watched:
    """An array that only slices, and counts how."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.reads = 0
        self.largest = 0

    def __getitem__(self, index: object) -> np.ndarray:
        found = self.array[index]
        self.reads += 1
        self.largest = max(self.largest, found.size)
        return found


def layouts_in_memory(tmp_path: Path) -> dict[str, np.ndarray]:
    """Return IMAGE as it may lie in memory, or on disk."""
    spread = np.zeros((120, 210), "uint16")
    spread[::2, ::3] = IMAGE
    read_only = IMAGE.copy()
    read_only.flags.writeable = False
    on_disk = np.memmap(tmp_path / "image.raw", "uint16", "w+", shape=IMAGE.shape)
    on_disk[:] = IMAGE
    on_disk.flush()
    unaligned = np.frombuffer(b"." + IMAGE.tobytes(), "uint16", offset=1).reshape(IMAGE.shape)
    return {
        "strided": spread[::2, ::3],
        "transposed": np.ascontiguousarray(IMAGE.T).T,
        "reversed": np.ascontiguousarray(IMAGE[::-1, ::-1])[::-1, ::-1],
        "Fortran": np.asfortranarray(IMAGE),
        "read-only": read_only,
        "unaligned": unaligned,
        "memmap": np.memmap(tmp_path / "image.raw", "uint16", "r", shape=IMAGE.shape),
    }


def test_where_the_values_lie_does_not_matter(tmp_path: Path) -> None:
    for name, image in layouts_in_memory(tmp_path).items():
        np.testing.assert_array_equal(image, IMAGE, err_msg=name)
        assert_same(enhance(image), ENHANCED)
        floats = image.astype("f4", order="K")
        assert largest_difference(enhance(floats), ENHANCED) < 1e-6, name


def test_nested_lists_are_arrays_too() -> None:
    assert largest_difference(enhance(IMAGE.tolist()), ENHANCED) < 1e-6


def test_the_input_is_never_modified() -> None:
    image = scene((4, 30, 31, 4))
    image[1, 5, 5, 1] = np.nan
    mask = np.random.default_rng(0).random((4, 30, 31)) < 0.5
    kept, kept_mask = image.copy(), mask.copy()
    enhance(image, axes="ZYXS", mask=mask, statistics="plane", tile=9)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(mask, kept_mask)


def test_the_result_is_a_new_array_every_time() -> None:
    one, other = enhance(IMAGE), enhance(IMAGE)
    assert_same(one, other)
    assert not np.shares_memory(one, other)


def test_an_array_is_read_twice_and_in_tiles_only() -> None:
    watched = Watched(scene((3, 60, 70)))
    assert_same(enhance(watched, tile=20), enhance(watched.array, tile=20))
    assert watched.largest <= (20 + 2 * 2) ** 2
    tiles = 3 * 3 * 4
    assert watched.reads <= 2 * tiles + 1


def test_progress_is_called_for_every_tile_measured_and_rendered() -> None:
    calls: list[tuple[int, int]] = []
    enhance(scene((2, 60, 70)), tile=32, progress=lambda *call: calls.append(call))
    total = 2 * (2 * 2 * 3)
    assert calls == [(done, total) for done in range(1, total + 1)]


def test_a_progress_bar_is_shown_only_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    enhance(IMAGE)
    assert capsys.readouterr() == ("", "")
    enhance(IMAGE, progress=True)
    assert "enhancing" in capsys.readouterr().err


def test_the_generator_tells_the_stages_and_returns_the_result() -> None:
    steps = render_steps(plan(IMAGE, tile=32))
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            result = stop.value
            break
    assert [event.stage for event in events] == ["measure"] * 6 + ["render"] * 6
    assert [event.done for event in events] == list(range(1, 13))
    assert_same(result, enhance(IMAGE, tile=32))


def test_the_generator_checks_its_arguments_before_the_first_step() -> None:
    with pytest.raises(ValueError, match="contrast"):
        plan(IMAGE, contrast=0)


@pytest.mark.parametrize("events", [1, 3, 13, 17])
def test_closing_the_generator_stops_within_one_tile(events: int) -> None:
    watched = Watched(scene((60, 70)))
    out = np.full((60, 70), -1.0, "f4")
    steps = render_steps(plan(watched, tile=20, out=out))
    reads_before = watched.reads
    for _ in range(events):
        event = next(steps)
    steps.close()
    assert (event.done, event.total) == (events, 24)
    assert watched.reads - reads_before == events
    rendered = max(0, events - 12)
    assert (out != -1).sum() == sum([400, 400, 400, 200, 400][:rendered])
    with pytest.raises(StopIteration):
        next(steps)


def test_a_failing_callback_stops_the_work() -> None:
    watched = Watched(scene((60, 70)))

    def stop_at_third(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enhance(watched, tile=20, progress=stop_at_third)
    assert watched.reads <= 4


def test_torch_is_left_as_it_was() -> None:
    state = torch.random.get_rng_state()
    threads, gradients = torch.get_num_threads(), torch.is_grad_enabled()
    enhance(IMAGE)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == (threads, gradients)


PEAKS = """
import numpy as np
from napari_noiser import enhance

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

small = np.random.default_rng(0).poisson(5, {small}).astype("u1")
large = np.random.default_rng(0).poisson(5, {large}).astype("u1")
enhance(small, ndim={ndim}, device="cpu")
before = peak()
result = enhance(large, ndim={ndim}, device="cpu", memory_limit={limit})
limited = peak() - before - result.nbytes
enhance(large, ndim={ndim}, device="cpu", tile=10**6)
print(limited, peak() - before - result.nbytes)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("ndim", "small", "large"), [(2, (40, 40), (1100, 1200)), (3, (12, 40, 40), (24, 220, 230))]
)
def test_a_memory_limit_bounds_what_is_held(
    ndim: int, small: tuple[int, ...], large: tuple[int, ...]
) -> None:
    # In a process of its own: its peak is not that of other tests, and sees torch's memory too.
    limit = 8_000_000
    script = PEAKS.format(ndim=ndim, small=small, large=large, limit=limit)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    limited, unlimited = map(int, done.stdout.split())
    bound = 2 * limit + 24_000_000  # allocators and BLAS hold buffers of their own, each thread
    assert limited < bound
    assert unlimited > 4 * bound, "the measure does not see what a whole image takes"
