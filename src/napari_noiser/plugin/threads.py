"""How many of torch's threads may compute while napari is open: all cores' but one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from napari_noiser.remedy import torch_remedy

__all__ = ["few_threads"]


@contextmanager
def few_threads() -> Iterator[None]:
    """Leave one core to the viewer: torch's threads spin, and napari needs one to draw.

    It holds for the thread that enters it, and until it leaves: each has a number of its own.
    """
    with torch_remedy():
        import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(before, max(1, (os.cpu_count() or 2) - 1)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
