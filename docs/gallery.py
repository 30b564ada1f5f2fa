"""Make the gallery and the figures of this guide, offline: scikit-image's pictures, made dim.

python docs/gallery.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from napari.components import ViewerModel
from numpy.typing import NDArray
from PIL import Image as Picture
from skimage import data
from snippets import snippets

import napari_noiser as noiser
from napari_noiser.engine.display import contrast_limits
from napari_noiser.plugin.samples import hubble_photon_limited

IMAGES = Path(__file__).parent / "images"
GRAYS = {"coins": 6, "camera": 8, "moon": 6}  # photons in the brightest pixels
COLORS = {"rocket": 30, "chelsea": 30, "retina": 30}
HEIGHT = 200  # pixels of a picture in the gallery
GAP = 6


def dim_gray(picture: NDArray[Any], photons: float) -> NDArray[np.uint16]:
    """Return a camera's counts at few photons a pixel: shot noise, read noise, an offset."""
    random = np.random.default_rng(0)
    counts = random.poisson(1 + photons * (picture / 255) ** 2.2)
    return np.rint(counts + random.normal(100, 1.5, picture.shape)).astype(np.uint16)


def dim_color(picture: NDArray[Any], photons: float) -> NDArray[np.uint8]:
    """Return an 8-bit photograph of which only the darkest eighth of the range is used."""
    seen = np.random.default_rng(0).poisson(photons * (picture / 255) ** 2.2) / photons
    return np.rint(255 * 0.12 * seen.clip(0, 1) ** (1 / 2.2)).astype(np.uint8)


def strip(name: str, photons: float) -> list[NDArray[Any]]:
    """Return a picture made dim, by one click, by noiser-var3 and the closed form, as shown."""
    picture = getattr(data, name)()
    if picture.ndim == 2:
        dim = dim_gray(picture, photons)
        plain = [noiser.enhance(dim, "noiser-var3"), noiser.closed_form(dim)]
        return [
            between(dim, dim.min(), dim.max()),
            between(noiser.enhance(dim), 0, 1),
            *(between(result, *contrast_limits(result)) for result in plain),
        ]
    dim = dim_color(picture, photons)
    print(f"{name}: {noiser.choose(dim, axes='YXS').reason}")
    results = [
        noiser.enhance(dim, axes="YXS"),
        noiser.enhance(dim, "noiser-var3", axes="YXS", colors="balanced"),
        noiser.closed_form(dim, axes="YXS"),
    ]
    return [dim] + [between(result, 0, 1) for result in results]


def between(image: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    """Return an image in 8 bits, shown between two contrast limits."""
    return np.rint(255 * ((image - float(black)) / (white - float(black))).clip(0, 1)).astype("u1")


def save_strip(name: str, photons: float) -> None:
    """Write the pictures of one strip side by side."""
    pictures = [Picture.fromarray(each).convert("RGB") for each in strip(name, photons)]
    width = round(pictures[0].width * HEIGHT / pictures[0].height)
    beside = Picture.new("RGB", (len(pictures) * (width + GAP) - GAP, HEIGHT), "gray")
    for at, picture in enumerate(pictures):
        beside.paste(picture.resize((width, HEIGHT)), (at * (width + GAP), 0))
    path = IMAGES / f"gallery-{name}.png"
    beside.quantize(128, dither=Picture.Dither.NONE).save(path, optimize=True)
    said(path)


def statistics() -> Figure:
    """Draw the brightness of one nucleus in the guide's movie, for two kinds of statistics."""
    viewer = ViewerModel()
    exec(snippets(Path(__file__).parent / "guide" / "time_lapse.md")[0], {"viewer": viewer})
    movie = viewer.layers["Dim movie"].data
    curves = {
        "raw data": movie - 101.0,
        "whole series": noiser.enhance(movie, axes="TYX"),
        "each plane": noiser.enhance(movie, axes="TYX", statistics="plane"),
    }
    figure = Figure(figsize=(6.4, 3), layout="constrained")
    axes = figure.add_subplot(xlabel="frame", ylabel="brightness of one nucleus")
    for name, frames in curves.items():
        seen = [np.roll(frame, -2 * t, axis=1) for t, frame in enumerate(frames)]
        nucleus, background = (
            np.array([frame[rows, columns].mean() for frame in seen])
            for rows, columns in (NUCLEUS, BACKGROUND)
        )
        above = nucleus - background
        axes.plot(above / above[0], label=name)
    axes.axvline(12, color="gray", linestyle=":", label="debris comes in")
    axes.set_ylim(0)
    axes.legend(loc="upper right")
    return figure


NUCLEUS = slice(207, 216), slice(98, 107)  # where it is in frame 0
BACKGROUND = slice(222, 242), slice(60, 80)


def transfer() -> Figure:
    """Draw what becomes of each raw value of the Hubble sample."""
    dim = hubble_photon_limited()[0][0]
    figure = Figure(figsize=(6.4, 3), layout="constrained")
    axes = figure.add_subplot(xlabel="raw counts", ylabel="result", ylim=(0, 1))
    results = {"one click": noiser.enhance(dim), "noiser": noiser.enhance(dim, "noiser")}
    for name, result in results.items():
        curve = noiser.analysis.transfer_curve(dim, result, bins=256)
        axes.plot(curve.raw, curve.median, label=name)
        axes.fill_between(curve.raw, curve.lower, curve.upper, alpha=0.2)
    axes.legend(loc="lower right")
    return figure


def save_figure(name: str, figure: Figure) -> None:
    path = IMAGES / f"{name}.png"
    figure.savefig(path, dpi=130, metadata={"Software": None})
    said(path)


def said(path: Path) -> None:
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    mpl.use("agg")
    for name, photons in {**GRAYS, **COLORS}.items():
        save_strip(name, photons)
    save_figure("statistics", statistics())
    save_figure("transfer", transfer())


if __name__ == "__main__":
    main()
