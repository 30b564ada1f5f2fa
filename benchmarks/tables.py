"""Tables in Markdown that print row by row, and the machine they were made on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

import napari_noiser as noiser


@dataclass(frozen=True)
class Table:
    """Columns of fixed widths; the first is aligned to the left, the others to the right."""

    widths: Sequence[int]

    def head(self, cells: Sequence[str]) -> None:
        """Print the header and its rule."""
        self.row(cells)
        first, *others = self.widths
        self.row(["-" * first, *("-" * (width - 1) + ":" for width in others)])

    def row(self, cells: Sequence[str]) -> None:
        """Print a row now."""
        (first, width), *others = zip(cells, self.widths, strict=True)
        aligned = [first.ljust(width), *(cell.rjust(width) for cell, width in others)]
        print(f"| {' | '.join(aligned)} |", flush=True)


def machine(*packages: str) -> str:
    """Return processor, cores, load and versions in a line."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0].partition(":")[2].strip() if names else processor
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", *packages))
    return (
        f"{processor}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads, load "
        f"{os.getloadavg()[0]:.1f}; napari-noiser {noiser.__version__}, {versions}"
    )
