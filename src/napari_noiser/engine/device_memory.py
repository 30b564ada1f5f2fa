"""The memory of a device: where it runs out tiles are halved, then they go to the CPU."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil
import torch

from napari_noiser.arrays.chunks import MIN_SIDE
from napari_noiser.engine.tiles import Tile, subdivide
from napari_noiser.methods.patches import Scratch

_SMALLEST = 2 * MIN_SIDE  # sooner than such tiles, another device
_ENDLESS = 2**62

Result = TypeVar("Result")


def default_memory_limit() -> int:
    """Return a quarter of the memory that this process may still take, in bytes."""
    return free_memory() // 4


class DeviceMemory:
    """Where tiles are computed, and how large they may be there.

    `device` is where to compute the next tile: the CPU, once the first one has no room for the
    smallest. `scratch` is memory there that serves all tiles.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.scratch = Scratch()
        self._side = _ENDLESS

    def run_in_pieces(
        self, tile: Tile, halo: tuple[int, ...], act: Callable[[Tile], Result]
    ) -> Iterator[tuple[Tile, Result]]:
        """Compute a tile, in as few pieces as there is room for.

        `halo` is what it needs along each axis, where the image does not end; `act` computes one
        piece, on `device`.
        """
        waiting = list(subdivide(tile, self._side, halo))
        while waiting:
            piece = waiting.pop(0)
            try:
                result = act(piece)
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error):
                    raise
                reason = str(error).split("\n")[0]
            else:
                yield piece, result
                continue
            # Beyond the except clause: the error's frames no longer hold the piece's memory.
            self._shrink_tiles(piece, reason)
            waiting = [
                smaller
                for larger in (piece, *waiting)
                for smaller in subdivide(larger, self._side, halo)
            ]

    def run_with_cpu_fallback(self, act: Callable[[], Result]) -> Result:
        """Compute what cannot be cut: on `device`, or else on the CPU, with a warning."""
        try:
            return act()
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error) or self.device.type == "cpu":
                raise
            reason = str(error).split("\n")[0]
        self._free()
        warnings.warn(self._go_to_cpu() + f" ({reason})", stacklevel=2)
        return act()

    def release(self) -> None:
        """Give the memory back that was held for further tiles."""
        self.scratch = Scratch()

    def _shrink_tiles(self, piece: Tile, reason: str) -> None:
        """Halve the pieces to come, or take them to the CPU."""
        self._free()
        side = max(part.stop - part.start for part in piece.inner) // 2
        if side >= _SMALLEST:
            self._side = side
            message = f"{self.device} is out of memory: going on with tiles of {side}"
        elif self.device.type != "cpu":
            message = self._go_to_cpu()
        else:
            raise MemoryError(f"out of memory with tiles of {2 * side} already ({reason})")
        warnings.warn(f"{message} ({reason})", stacklevel=2)

    def _go_to_cpu(self) -> str:
        message = f"{self.device} is out of memory: going on on the CPU"
        self.device, self._side = torch.device("cpu"), _ENDLESS
        return message

    def _free(self) -> None:
        self.release()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out; not all of torch's have a type."""
    return isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)) or any(
        words in str(error) for words in ("out of memory", "not enough memory", "can't allocate")
    )


_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def free_memory() -> int:
    """Return bytes: those that are free on the machine, or left of what the process may hold.

    Schedulers such as SLURM and containers limit a job by control groups (cgroups, 1 or 2), and
    shells by ``ulimit -v``; a job that exceeds them is killed, however much is free.
    """
    held = psutil.Process().memory_info()
    left = [int(psutil.virtual_memory().available)]
    left += [limit - held.rss for limit in _group_limits()]
    left += [limit - held.vms for limit in _shell_limits()]
    return max(0, min(left))


def _group_limits() -> Iterator[int]:
    """Yield the limits of the control groups that this process is in, and of those around them."""
    with suppress(OSError):
        for line in _MEMBERSHIP.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            root = _CGROUPS / "memory" if "memory" in kinds.split(",") else _CGROUPS
            group = root / path.lstrip("/")
            for folder in (
                group,
                *(each for each in group.parents if root in (each, *each.parents)),
            ):
                for name in ("memory.max", "memory.limit_in_bytes"):
                    with suppress(OSError, ValueError):  # not there, or "max"
                        yield int((folder / name).read_text())


def _shell_limits() -> Iterator[int]:
    with suppress(ImportError):  # Windows has none
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            yield soft
