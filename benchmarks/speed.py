"""Time and memory beside the plain whole-image forward: ``python benchmarks/speed.py [device]``.

Every row is measured in a process of its own, so that peaks of memory are its own; every
repetition is on a fresh array. Ratios are of medians in one run on one machine.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import product
from multiprocessing import get_context

import numpy as np

CASES = {
    "600 x 400 RGB": ("YXS", (400, 600, 3)),
    "600 x 400": ("YX", (400, 600)),
    "1024 x 1024 RGB": ("YXS", (1024, 1024, 3)),
    "1024 x 1024": ("YX", (1024, 1024)),
    "4096 x 4096 RGB": ("YXS", (4096, 4096, 3)),
    "4096 x 4096": ("YX", (4096, 4096)),
    "64 x 1024 x 1024, planes": ("TYX", (64, 1024, 1024)),
    "64 x 1024 x 1024, volume": ("ZYX", (64, 1024, 1024)),
}
"""Axes and shape; with an axis Z the whole is rendered as a volume."""

MINIMUM_SECONDS = 2.0


def sample(axes: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return a dim image with some structure."""
    random = np.random.default_rng(seed)
    rows = np.linspace(0, 9, shape[axes.index("Y")])
    light = (3 + 2 * np.sin(rows)).reshape([-1 if letter == "Y" else 1 for letter in axes])
    return random.poisson(np.broadcast_to(light, shape)).astype(np.uint8)


def plain(image: np.ndarray, axes: str, device: str) -> np.ndarray:
    """Return what anybody would write: the network on whole images, float32, no tiles."""
    import torch
    from torch.nn import functional

    import napari_noiser as noiser

    ndim, color = 2 + ("Z" in axes), "S" in axes
    convolve = functional.conv3d if ndim == 3 else functional.conv2d
    model = noiser.load_model("noiser", samples=3 if color else 1, ndim=ndim)
    weights = {name: value.to(device) for name, value in model.expanded_weights.items()}

    def padded(x: torch.Tensor) -> torch.Tensor:
        return functional.pad(x, (1,) * (2 * ndim), mode="replicate")

    def one(pixels: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(pixels).to(device).float() / 127.5 - 1
        x = x.permute(2, 0, 1)[None] if color else x[None, None]
        x = convolve(padded(x), weights["first_weight"], weights["first_bias"])
        x = functional.gelu(functional.instance_norm(x, eps=1e-12))
        x = convolve(padded(x), weights["second_weight"], weights["second_bias"])
        x = (torch.tanh(x) + 1) / 2
        return (x[0].permute(1, 2, 0) if color else x[0, 0]).cpu().numpy()

    with torch.inference_mode():
        return np.stack([one(each) for each in image]) if "T" in axes else one(image)


def ours(image: np.ndarray, axes: str, device: str) -> np.ndarray:
    """Return the same by this package: moments, fold, tiles."""
    import napari_noiser as noiser

    return noiser.enhance(image, "noiser", **_options(axes, device))


def _options(axes: str, device: str) -> dict[str, object]:
    scope = "plane" if "T" in axes else "stack"
    return {"axes": axes, "ndim": 2 + ("Z" in axes), "statistics": scope, "device": device}


def timed(plan: Callable[[int], object]) -> float:
    """Return the median seconds of a few repetitions, numbered so that each has its own data."""
    seconds: list[float] = []
    while len(seconds) < 2 or sum(seconds) < MINIMUM_SECONDS:
        seconds.append(_seconds(plan, len(seconds)))
    return statistics.median(seconds)


def _seconds(plan: Callable[[int], object], number: int) -> float:
    start = time.perf_counter()
    plan(number)
    return time.perf_counter() - start


def measure(method: str, axes: str, shape: tuple[int, ...], device: str) -> tuple[float, float]:
    """Return seconds, and the peak of memory in bytes beyond input and result."""
    function = {"plain": plain, "ours": ours}[method]
    images = [sample(axes, shape, seed) for seed in range(3)]
    function(images[0][tuple(slice(min(length, 40)) for length in shape)], axes, device)
    before = _resident()
    result = function(images[0], axes, device)
    peak = _peak() - before - result.nbytes
    return timed(lambda number: function(images[number % 3], axes, device)), peak


def measure_training(method: str, samples: int, device: str, threads: int, busy: bool) -> float:
    """Return seconds for the paper's 2000 iterations, from a tenth of them."""
    import torch

    torch.set_num_threads(threads)
    iterations = 200
    train = {"plain": plain_training, "ours": our_training}[method]
    with busy_process() if busy else nullcontext():
        train(samples, device, 10)
        return timed(lambda number: train(samples, device, iterations)) * 2000 / iterations


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep one core busy, as a viewer does that draws."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def plain_training(samples: int, device: str, iterations: int) -> None:
    """Train as anybody would write it: nn.Sequential and Adam; its filters are not tied."""
    import torch
    from torch import nn

    width = 72  # hidden channels, as our nine filters in eight orientations
    layers = nn.Conv2d(samples, width, 3, padding=1), nn.InstanceNorm2d(width), nn.GELU()
    last = nn.Conv2d(width, samples, 3, padding=1)
    network = nn.Sequential(*layers, last, nn.Tanh()).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
    for _ in range(iterations):
        noise = torch.randn(1, samples, 104, 104, device=device)
        output = network(noise)
        variation = output.diff(dim=2).square().sum() + output.diff(dim=3).square().sum()
        loss = (output - noise).abs().mean() + variation / output.numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


def our_training(samples: int, device: str, iterations: int) -> None:
    """Train by this package, without change of the recipe."""
    from dataclasses import replace

    import napari_noiser as noiser

    recipe = replace(noiser.RECIPES["noiser"], iterations=iterations)
    noiser.train(recipe, samples=samples, device=device)


def measure_moments(axes: str, shape: tuple[int, ...], device: str) -> float:
    """Return seconds for the statistics alone."""
    from napari_noiser.engine.calibration import calibrate
    from napari_noiser.engine.enhance import plan_steps
    from napari_noiser.engine.plan import make_plan

    def measure_only(number: int) -> None:
        plan = make_plan(images[number % 3], "noiser", **_options(axes, device))
        steps = plan_steps(calibrate(plan))
        for step in steps:
            if step.done == step.total // 2:
                steps.close()

    images = [sample(axes, shape, seed) for seed in range(3)]
    return timed(measure_only)


def measure_resident(device: str) -> float:
    """Return seconds for a plane of 600 x 400 that is on the device already, without moments."""
    import torch

    from napari_noiser.engine.passes import measure_steps
    from napari_noiser.engine.plan import make_plan
    from napari_noiser.engine.render import cached_fold

    plan = make_plan(sample("YX", (400, 600), seed=0), device=device)
    steps = measure_steps(plan)
    try:
        while True:
            next(steps)
    except StopIteration as stop:
        network = cached_fold(plan, stop.value)(plan.group(()))
    tile, halo, repeats = torch.randn(1, 1, 400, 600, device=device), ((0, 0), (0, 0)), 200

    @torch.inference_mode()
    def respond(number: int) -> None:
        for _ in range(repeats):
            network(tile, halo)
        torch.accelerator.synchronize()

    respond(0)
    return timed(respond) / repeats


def measure_host_stack(device: str) -> float:
    """Return bytes read a second of a stack of uint16 in the host's memory."""
    shape = (64, 1024, 1024)
    images = [sample("TYX", shape, seed).astype(np.uint16) for seed in range(3)]
    ours(images[0][:1], "TYX", device)
    return images[0].nbytes / timed(lambda number: ours(images[number % 3], "TYX", device))


def measure_pinned(device: str) -> float:
    """Return bytes a second of copying pinned memory to the device."""
    import torch

    source = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
    target = torch.empty_like(source, device=device)

    def copy(number: int) -> None:
        target.copy_(source, non_blocking=True)
        torch.accelerator.synchronize()

    copy(0)
    return source.nbytes / timed(copy)


def memcpy_bandwidth() -> float:
    """Return bytes a second, read and written, of copying a large array."""
    source = np.ones(2**27, np.uint8)
    target = np.empty_like(source)
    return 2 * source.nbytes / timed(lambda number: np.copyto(target, source))


def _resident() -> int:
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(field: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def alone(function: Callable[..., object], *arguments: object) -> object:
    """Call a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def print_rendering(device: str, bandwidth: float) -> None:
    """Print one row a case."""
    print(
        "| image | plain | ours | ratio | moments | Mvoxel/s | memcpy | plain peak | ours peak |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, case in CASES.items():
        slow, slow_peak = alone(measure, "plain", *case, device)
        fast, fast_peak = alone(measure, "ours", *case, device)
        moments = alone(measure_moments, *case, device)
        axes, shape = case
        values = float(np.prod(shape))
        voxels = values / (3 if "S" in axes else 1)
        share = 5 * values / fast / bandwidth  # one byte in, four out
        print(
            f"| {name} | {slow:.3f} s | {fast:.3f} s | {slow / fast:.1f} | {moments:.3f} s | "
            f"{voxels / fast / 1e6:.1f} | {share:.1%} | {slow_peak / 1e6:.0f} MB | "
            f"{fast_peak / 1e6:.0f} MB |",
            flush=True,
        )


def print_training(device: str) -> None:
    """Print the time of the paper's 2000 iterations, also beside another busy process."""
    import torch

    every = torch.get_num_threads()
    print("\n| training, 2000 iterations | plain | ours | ratio |\n|---|--:|--:|--:|")
    for busy, threads, samples in product((False, True), sorted({1, every}), (1, 3)):
        if device != "cpu" and (threads < every or busy):
            continue
        case = device, threads, busy
        slow = alone(measure_training, "plain", samples, *case)
        fast = alone(measure_training, "ours", samples, *case)
        name = f"{samples} channel{'s'[: samples > 1]}, {threads} thread{'s'[: threads > 1]}"
        name += ", beside a busy process" if busy else ""
        print(f"| {name} | {slow:.2f} s | {fast:.2f} s | {slow / fast:.1f} |", flush=True)


def print_device(device: str) -> None:
    """Print what an accelerator does with what it holds, and how near it is to its copies."""
    resident = alone(measure_resident, device)
    stack, pinned = (alone(each, device) for each in (measure_host_stack, measure_pinned))
    print("\n| on the device | |\n|---|--:|")
    print(f"| 600 x 400, held there | {1e3 * resident:.3f} ms |")
    print(f"| a stack of uint16 in the host's memory | {stack / 1e9:.2f} GB/s |")
    print(f"| pinned copies there | {pinned / 1e9:.2f} GB/s |")
    print(f"| share of them | {stack / pinned:.1%} |", flush=True)


def main() -> None:
    """Print all tables as Markdown."""
    import torch

    import napari_noiser as noiser

    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    where = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    bandwidth = memcpy_bandwidth()
    print(
        f"{where}, {os.cpu_count()} cores, {torch.get_num_threads()} threads; napari-noiser "
        f"{noiser.__version__}, torch {torch.__version__}; memcpy {bandwidth / 1e9:.1f} GB/s\n"
    )
    print_rendering(device, bandwidth)
    print_training(device)
    if device != "cpu":
        print_device(device)


def _processor() -> str:
    with open("/proc/cpuinfo") as info:
        names = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    main()
