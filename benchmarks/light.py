"""Ask whether light stands up to measurement: denoised by structured, beside raw and a Gaussian.

Run as ``python benchmarks/light.py [FOLDER]``; without a folder, NAPARI_NOISER_DATA names it.
Sources are found by SEP (Source Extractor's method). docs/benchmarks.md explains the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import sep
from data_sets import arguments, astronomy, data_parser
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter
from tables import Table, machine

import napari_noiser as noiser

Floats = NDArray[np.floating]

GAIN, OFFSET, READ_NOISE, BACKGROUND = 2.2, 100.0, 1.6, 2.0
"""Of the simulated camera: counts an electron, counts, electrons, photons a pixel."""
BLUR = 1.5
"""Pixels: the Gaussian beside."""
CONSERVE = 2.0
"""Pixels: the Gaussian behind which light is given back."""
APERTURE = 5.0
"""Pixels: the radius of the circle that a star's light is summed in."""


def structured(image: Floats, **options: Any) -> Floats:
    """Return the denoised light in the image's units."""
    return noiser.denoise(image, device="cpu", dtype="float64", **options)


def blurred(image: Floats) -> Floats:
    """Return the image behind a Gaussian."""
    return gaussian_filter(image.astype(np.float64), BLUR)


METHODS: Mapping[str, Callable[[Floats], Floats]] = {
    "raw": lambda image: image.astype(np.float64),
    "Gaussian": blurred,
    "structured, no camera": partial(structured, camera=None),
    "structured": structured,
    "structured, light conserved": partial(structured, conserve=CONSERVE),
}


# A simulated fluorescence frame.


@dataclass(frozen=True)
class Frame:
    """What a camera saw of cells, and the truth.

    Attributes
    ----------
    counts
        Of the camera, uint16.
    photons
        Expected at each pixel.
    cells
        From 1, inside a cell's edge; 0 elsewhere.
    empty
        Where there is background alone.
    """

    counts: Floats
    photons: Floats
    cells: NDArray[np.integer]
    empty: NDArray[np.bool_]


def simulated(seed: int, side: int = 512) -> Frame:
    """Draw 36 round cells of 3 to 90 photons, one each in a grid of boxes, and expose them."""
    random = np.random.default_rng(seed)
    photons, cells = np.zeros((side, side)), np.zeros((side, side), int)
    touched = np.zeros((side, side), bool)
    box = side / 6
    brightness = random.permutation(np.geomspace(3, 90, 36))
    for number, level in enumerate(brightness):
        radius = random.uniform(8, 24)
        corner = box * np.array(divmod(number, 6))
        y, x = corner + random.uniform(radius + 6, box - radius - 6, 2)
        rows, columns = np.ogrid[:side, :side]
        distance = np.hypot(rows - y, columns - x)
        photons[distance < radius] += level
        cells[distance < radius - 3] = number + 1
        touched |= distance < radius + 6
    photons = gaussian_filter(photons, 1.0) + BACKGROUND
    electrons = random.poisson(photons) + random.normal(0, READ_NOISE, photons.shape)
    counts = np.rint(GAIN * electrons + OFFSET).clip(0, 65535).astype(np.uint16)
    return Frame(counts, photons, cells, ~touched)


def measured(frame: Frame, counts: Floats) -> tuple[float, float, float]:
    """Return total flux and background over the truth, and the log-log slope of bright cells."""
    electrons = (counts - OFFSET) / GAIN
    background = electrons[frame.empty].mean()
    numbers = range(1, frame.cells.max() + 1)
    pairs = [
        (frame.photons[inside].mean() - BACKGROUND, electrons[inside].mean() - background)
        for inside in (frame.cells == number for number in numbers)
    ]
    true, found = np.log([pair for pair in pairs if pair[0] > 10]).T
    return (
        electrons.sum() / frame.photons.sum(),
        background / BACKGROUND,
        float(np.polyfit(true, found, 1)[0]),
    )


def fluorescence() -> None:
    """Print how far each method is from the truth."""
    frames = [simulated(seed) for seed in range(4)]
    table = Table([27, 19, 19, 19])
    table.head(["fluorescence, 4 frames", "total flux", "background", "log-log slope"])
    for name, method in METHODS.items():
        found = np.array([measured(frame, method(frame.counts)) for frame in frames])
        spans = zip(found.mean(0), found.min(0), found.max(0), strict=True)
        table.row([name, *(f"{mean:.3f} ({low:.3f}-{high:.3f})" for mean, low, high in spans)])


# A star field.


@dataclass(frozen=True)
class Stars:
    """A frame without its sky.

    Attributes
    ----------
    light
        The frame less the sky.
    noise
        The sky's standard deviation, as SEP finds it.
    """

    light: Floats
    noise: float

    @classmethod
    def of(cls, frame: Floats) -> Stars:
        """Subtract the sky."""
        frame = np.ascontiguousarray(frame, dtype=np.float64)
        sky = sep.Background(frame)
        return cls(frame - sky.back(), sky.globalrms)

    def sources(self, sigmas: float = 5.0) -> tuple[Floats, Floats]:
        """Find sources; return their places (N, 2: y, x), and the pixels that they cover."""
        found, covered = sep.extract(
            self.light,
            sigmas,
            err=self.noise,
            filter_kernel=None,
            segmentation_map=True,
        )
        return np.stack([found["y"], found["x"]], axis=1), covered

    def fluxes(self, places: Floats) -> tuple[Floats, Floats]:
        """Return the light in a circle around each place, and its error."""
        y, x = places.T
        flux, error, _ = sep.sum_circle(self.light, x, y, APERTURE, err=self.noise)
        return flux, error


def matched(places: Floats, others: Floats, reach: float = 3.0) -> NDArray[np.bool_]:
    """Return which places have one of the others within so many pixels."""
    if not len(others):
        return np.zeros(len(places), bool)
    distances = np.linalg.norm(places[:, None] - others, axis=-1)
    return np.asarray(distances.min(axis=1) <= reach)


def star_field(folder: Path) -> None:
    """Print what each method leaves of noise, of stars' light, and of what there is to find."""
    (pair,) = astronomy(folder)
    raw, reference = Stars.of(pair.dim), Stars.of(pair.truth)
    sky = pair.dim - raw.light
    true, _ = reference.sources()
    _, real = reference.sources(3.0)
    _, covered = reference.sources(2.0)
    empty = ~binary_dilation(covered > 0, iterations=5)
    stars, _ = raw.sources()
    before, error = raw.fluxes(stars)
    stars, before, error = (each[before > 5 * error] for each in (stars, before, error))
    exact = before > 33 * error
    print(
        f"{len(true)} sources in the median of 52 frames; {len(stars)} stars in the raw frame, "
        f"{exact.sum()} of them known to 3 %; {empty.mean():.0%} of the pixels are star-free\n"
    )
    right = reference.fluxes(stars)[0]
    table = Table([27, 11, 10, 12, 11, 8, 5, 5])
    titles = ["within 3 %", "known to 3 %", "median off", "scatter", "found", "false"]
    table.head(["star field", "noise, raw/", *titles])
    results = {name: method(pair.dim) for name, method in METHODS.items()}
    for name, result in (results | {"median of 52 frames": pair.truth}).items():
        light = Stars.of(result)
        after = replace(light, light=result - sky).fluxes(stars)[0]
        off = np.abs(after / before - 1)
        places, _ = light.sources()
        kept = [
            f"{(off <= 0.03).sum()}/{off.size}",
            f"{(off[exact] <= 0.03).sum()}/{exact.sum()}",
            f"{median(off):.2%}",
            f"{spread((after / right)[exact]) / median((after / right)[exact]):.1%}",
        ]
        table.row(
            [
                name,
                f"{spread(raw.light[empty]) / spread(light.light[empty]):.2f}",
                *(kept if name in METHODS else "-" * len(kept)),
                f"{matched(true, places).sum()}",
                f"{(real[tuple(np.rint(places).astype(int).T)] == 0).sum()}",
            ]
        )


def spread(values: Floats) -> float:
    """Return the standard deviation by the median of absolute deviations: no hot pixels in it."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def speed() -> None:
    """Print how long a plane of 1024x1024 takes."""
    plane = simulated(0, 1024).counts
    structured(plane)
    seconds = []
    for _ in range(7):
        start = perf_counter()
        structured(plane)
        seconds.append(perf_counter() - start)
    print(f"1024x1024: median {median(seconds):.2f} s, best {min(seconds):.2f} s")


def main() -> None:
    """Print the machine, both tables and the time."""
    given = arguments(data_parser(__doc__.splitlines()[0]))
    print(f"{machine('sep')}\n")
    fluorescence()
    print()
    star_field(given.folder)
    print()
    speed()


if __name__ == "__main__":
    main()
