"""Remake bundled weights, from seed 0 and no data.

``python -m napari_noiser.srm.bundle [NAME ...]`` trains the named recipes, or all of them. The
paper's take seconds; structured takes some 40 minutes on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from napari_noiser.srm.model import BUNDLED, bundled_file
from napari_noiser.srm.training import train


def main(names: Sequence[str]) -> None:
    """Train the bundled models of these names, or all, on the CPU, and replace their files."""
    for name, channels, ndim in BUNDLED:
        if names and name not in names:
            continue
        model = train(name, channels=channels, ndim=ndim, device="cpu", seed=0, progress=True)
        model = replace(model, losses=())  # half of the file
        print(model.save(bundled_file(name, channels, ndim)), model.fingerprint)


if __name__ == "__main__":
    main(sys.argv[1:])
