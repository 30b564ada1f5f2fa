"""Score pictures as napari shows them after one click: ``python benchmarks/as_shown.py [FOLDER]``.

Each layer is scored with its own contrast limits and gamma, against the truth as it would be
shown, stretched from its .5 to its 99.8 percentile. Beside them the raw image stretched likewise.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from data_sets import Array, Pair, arguments, data_parser, fmd, hagen, w2s
from napari.layers import Image
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tables import Table, machine

import napari_noiser as noiser

Floats = NDArray[np.floating]


def stretched(image: Array) -> Floats:
    """Return an image from its .5 to its 99.8 percentile, in [0, 1]."""
    black, white = np.percentile(image, (0.5, 99.8))
    return np.asarray(((image - black) / (white - black)).clip(0, 1))


def shown(layer: Image) -> Floats:
    """Return a layer's data as napari shows them, in [0, 1]."""
    black, white = layer.contrast_limits
    linear = ((np.asarray(layer.data, float) - black) / (white - black)).clip(0, 1)
    return np.asarray(linear**layer.gamma)


def score(picture: Floats, truth: Floats) -> tuple[float, float]:
    """Return PSNR in dB and SSIM, of pictures in [0, 1]."""
    return (
        peak_signal_noise_ratio(truth, picture, data_range=1.0),
        structural_similarity(truth, picture, data_range=1.0),
    )


PICTURES: dict[str, Callable[[Image], Floats]] = {
    "raw, stretched": lambda layer: stretched(layer.data),
    "one click (auto)": lambda layer: shown(noiser.enhance_layer(layer)),
    "in counts": lambda layer: shown(noiser.denoise_layer(layer)),
    "fluorescence": lambda layer: shown(
        noiser.enhance_layer(layer, "structured", background="dark", gamma=1.0)
    ),
    "stars": lambda layer: shown(
        noiser.enhance_layer(layer, "structured", background="dark", gamma=0.5)
    ),
    "photograph": lambda layer: shown(
        noiser.enhance_layer(layer, "structured", background="gray")
    ),
    "brighten only": lambda layer: shown(noiser.enhance_layer(layer, "noiser-var3")),
    "noiser, once the default": lambda layer: shown(noiser.enhance_layer(layer, "noiser")),
}
"""How a layer is shown, by what the widget calls it."""


def main() -> None:
    """Print each picture's scores on each data set, and their mean over all pairs."""
    folder = arguments(data_parser(__doc__ or "")).folder
    sets: dict[str, list[Pair]] = {
        "W2S": list(w2s(folder)),
        "Hagen": list(hagen(folder)),
        "FMD": list(fmd(folder)),
    }
    print(machine(), end="\n\n")
    table = Table((24, *(14 for _ in sets), 22))
    table.head(["", *sets, "mean of W2S and Hagen"])
    for name, picture in PICTURES.items():
        scores = {
            each: [score(picture(Image(pair.dim)), stretched(pair.truth)) for pair in pairs]
            for each, pairs in sets.items()
        }
        means = [np.mean(found, axis=0) for found in scores.values()]
        means.append(np.mean(scores["W2S"] + scores["Hagen"], axis=0))
        table.row([name, *(f"{psnr:.2f} / {ssim:.3f}" for psnr, ssim in means)])


if __name__ == "__main__":
    main()
