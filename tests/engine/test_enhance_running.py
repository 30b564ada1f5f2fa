"""How enhance goes about it: what it reads, holds, reports and leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.arrays import CountingArray
from helpers.compare import assert_same, largest_difference
from helpers.scenes import scene

from napari_noiser import denoise, enhance
from napari_noiser.camera import CameraNoise
from napari_noiser.engine.enhance import plan_steps
from napari_noiser.engine.plan import make_plan

IMAGE = scene((60, 70), dtype="uint16")
ENHANCED = enhance(IMAGE, "noiser")


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
        assert_same(enhance(image, "noiser"), ENHANCED)
        floats = image.astype("f4", order="K")
        assert largest_difference(enhance(floats, "noiser"), ENHANCED) < 1e-6, name


def test_nested_lists_are_arrays_too() -> None:
    assert largest_difference(enhance(IMAGE.tolist(), "noiser"), ENHANCED) < 1e-6


def test_the_input_is_never_modified() -> None:
    image = scene((4, 30, 31, 4))
    image[1, 5, 5, 1] = np.nan
    mask = np.random.default_rng(0).random((4, 30, 31)) < 0.9
    kept, kept_mask = image.copy(), mask.copy()
    enhance(image, "noiser", axes="ZYXS", mask=mask, statistics="plane", tile=9)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(mask, kept_mask)


def test_the_result_is_a_new_array_every_time() -> None:
    one, other = enhance(IMAGE, "noiser"), enhance(IMAGE, "noiser")
    assert_same(one, other)
    assert not np.shares_memory(one, other)


@pytest.mark.parametrize(
    ("shape", "axes", "chunks", "ndim"),
    [
        ((60, 70), "YX", (16, 9), 2),
        ((4, 60, 70), "ZYX", (3, 16, 16), 2),
        ((2, 30, 3, 50), "CYSX", (1, 7, 2, 11), 2),
        ((13, 30, 40), "ZYX", (4, 9, 11), 3),
        ((2, 9, 2, 12, 20), "TZCYX", (1, 3, 2, 12, 7), 3),
    ],
)
@pytest.mark.parametrize("tile", [4, 192])
def test_every_chunk_is_read_exactly_twice(
    shape: tuple[int, ...], axes: str, chunks: tuple[int, ...], ndim: int, tile: int
) -> None:
    watched = CountingArray(scene(shape, dtype="uint16"), chunks)
    options = {"axes": axes, "ndim": ndim}
    result = enhance(watched, "noiser", fill=None, tile=tile, **options)
    assert (
        largest_difference(result, enhance(watched.values, "noiser", fill=None, **options)) < 1e-6
    )
    assert set(watched.chunks_read.values()) == {2}
    assert len(watched.chunks_read) == watched.n_chunks


def test_an_array_that_tells_no_chunks_is_read_plane_by_plane() -> None:
    watched = CountingArray(scene((3, 60, 70)))
    assert_same(
        enhance(watched, "noiser", fill=None, tile=20),
        enhance(watched.values, "noiser", fill=None, tile=20),
    )
    assert len(watched.keys) == 2 * 3
    assert watched.largest_read == 60 * 70


def test_too_little_memory_for_a_row_of_chunks_costs_reads_only() -> None:
    image = scene((120, 160), dtype="uint16")
    watched = CountingArray(image, (20, 20))
    result = enhance(watched, "noiser", fill=None, memory_limit=20_000)
    assert largest_difference(result, enhance(image, "noiser", fill=None)) < 1e-6
    assert max(watched.chunks_read.values()) > 2
    assert watched.largest_read * 2 <= 20_000 / 4


def test_chunks_larger_than_memory_are_cut() -> None:
    watched = CountingArray(scene((120, 160), dtype="uint16"), (120, 160))
    result = enhance(watched, "noiser", fill=None, memory_limit=40_000)
    assert largest_difference(result, enhance(watched.values, "noiser", fill=None)) < 1e-6
    assert watched.largest_read * 2 <= 40_000 / 4


def test_a_chunked_result_is_written_once_in_whole_chunks() -> None:
    image = CountingArray(scene((3, 50, 70), dtype="uint16"), (2, 11, 70))
    out = CountingArray(np.zeros((3, 50, 70), "f4"), (1, 16, 16))
    assert enhance(image, "noiser", fill=None, out=out, tile=8) is out
    assert largest_difference(out.values, enhance(image.values, "noiser", fill=None)) < 1e-6
    assert set(out.chunks_written.values()) == {1}
    assert len(out.chunks_written) == out.n_chunks
    assert set(image.chunks_read.values()) == {2}


def test_progress_is_called_for_every_tile_measured_and_rendered() -> None:
    calls: list[tuple[int, int]] = []
    enhance(scene((2, 60, 70)), "noiser", tile=32, progress=lambda *call: calls.append(call))
    total = 2 * (2 * 2 * 3)
    assert calls == [(done, total) for done in range(1, total + 1)]


def test_a_progress_bar_is_shown_only_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    enhance(IMAGE, "noiser")
    assert capsys.readouterr() == ("", "")
    enhance(IMAGE, "noiser", progress=True)
    assert "enhancing" in capsys.readouterr().err
    denoise(IMAGE, camera=CameraNoise(1.0, 0.0, 1.0), progress=True)
    assert "denoising" in capsys.readouterr().err


def test_the_generator_tells_the_stages_and_returns_the_result() -> None:
    steps = plan_steps(make_plan(IMAGE, "noiser", tile=32))
    events = []
    while True:
        try:
            events.append(next(steps))
        except StopIteration as stop:
            result = stop.value
            break
    assert [event.stage for event in events] == ["measure"] * 6 + ["render"] * 6
    assert [event.done for event in events] == list(range(1, 13))
    assert_same(result, enhance(IMAGE, "noiser", tile=32))


def test_the_generator_checks_its_arguments_before_the_first_step() -> None:
    with pytest.raises(ValueError, match="contrast"):
        make_plan(IMAGE, "noiser", contrast=0)


@pytest.mark.parametrize("events", [1, 3, 13, 17])
def test_closing_the_generator_stops_within_one_tile(events: int) -> None:
    out = np.full((60, 72), -1.0, "f4")
    steps = plan_steps(make_plan(scene((60, 72)), "noiser", tile=20, out=out))
    for _ in range(events):
        event = next(steps)
    steps.close()
    assert (event.done, event.total) == (events, 24)
    assert (out != -1).sum() == max(0, events - 12) * 20 * 18
    with pytest.raises(StopIteration):
        next(steps)


def test_a_failing_callback_stops_the_work() -> None:
    watched = CountingArray(scene((60, 70)), (20, 20))

    def stop_at_third(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enhance(watched, "noiser", fill=None, tile=5, progress=stop_at_third)
    assert len(watched.keys) == 4, "the first block and its neighbors"


def test_torch_is_left_as_it_was() -> None:
    state = torch.random.get_rng_state()
    threads, gradients = torch.get_num_threads(), torch.is_grad_enabled()
    enhance(IMAGE, "noiser")
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
enhance(small, "noiser", ndim={ndim}, device="cpu")
before = peak()
result = enhance(large, "noiser", ndim={ndim}, device="cpu", memory_limit={limit})
limited = peak() - before - result.nbytes
hidden = np.ones((72, *{large}), np.float32)  # as many channels as are hidden of it whole
print(limited, peak() - before - result.nbytes)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from /proc")
@pytest.mark.parametrize(
    ("ndim", "small", "large"), [(2, (40, 40), (800, 900)), (3, (12, 40, 40), (24, 160, 200))]
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
