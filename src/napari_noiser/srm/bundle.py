"""Remake the bundled weights, from seed 0 and no data: ``python -m napari_noiser.srm.bundle``."""

from __future__ import annotations

from dataclasses import replace

from napari_noiser.srm.model import BUNDLED, bundled_file
from napari_noiser.srm.training import train


def main() -> None:
    """Train every bundled model on the CPU and replace its file."""
    for name, channels, ndim in BUNDLED:
        model = train(name, channels=channels, ndim=ndim, device="cpu", seed=0, progress=True)
        model = replace(model, losses=())  # half of the file
        print(model.save(bundled_file(name, channels, ndim)), model.fingerprint)


if __name__ == "__main__":
    main()
