"""How much memory this process may still take: of the machine's, and within its job's limits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["free_memory"]

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
            _, kinds, place = line.split(":", 2)
            root = _CGROUPS / "memory" if "memory" in kinds.split(",") else _CGROUPS
            group = root / place.lstrip("/")
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
