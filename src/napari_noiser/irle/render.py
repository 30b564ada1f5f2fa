"""Rendering: a fitted blind spot over images of any size, tile by tile."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.camera.noise_model import CameraNoise
from napari_noiser.checks import whole
from napari_noiser.irle.gain import low_passed_log_gain
from napari_noiser.irle.images import Image
from napari_noiser.irle.light import BlindEstimate, with_own_pixel
from napari_noiser.irle.model import BlindSpotModel
from napari_noiser.irle.network import BlindSpot
from napari_noiser.srm.device import best_device

__all__ = ["Rendering", "TileDone", "denoise_steps", "open_rendering"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class TileDone:
    """One finished tile.

    Attributes
    ----------
    done, total : int
        How many tiles are finished, of how many.
    """

    done: int
    total: int
    stage: str = "denoise"


@dataclass(frozen=True, eq=False)
class Rendering:
    """A model ready to render parts of one image; made by `open_rendering`."""

    model: BlindSpotModel
    image: Image
    network: BlindSpot
    device: torch.device

    def blind(self, frame: int, rows: slice, columns: slice) -> BlindEstimate:
        """Return what the surroundings of pixels say of them, in electrons, (1, C, Y, X).

        With a given gain map, no estimate depends on its own pixel, bit by bit on a CPU; where
        the image ends, too.
        """
        return self._estimate(frame, rows, columns)[0]

    def light(self, frame: int, rows: slice, columns: slice) -> Floats:
        """Return the light in the image's units: the blind estimate with each pixel's own count.

        (Y, X), with samples last if there are several.
        """
        estimate, electrons = self._estimate(frame, rows, columns)
        return self.image.stored(with_own_pixel(estimate, electrons)[0].cpu())

    @torch.no_grad()
    def _estimate(self, frame: int, rows: slice, columns: slice) -> tuple[BlindEstimate, Tensor]:
        model, image = self.model, self.image
        grid, halo = model.recipe.grid, model.halo
        spans = [
            _Span.around(wanted, grid, halo, length, model.recipe.spacing)
            for wanted, length in zip((rows, columns), image.sides, strict=True)
        ]
        windows = [span.read for span in spans]
        frames = image.around(frame, model.neighbours)
        electrons = _placed(image.electrons(frames, *windows), spans)[None].to(self.device)
        read_noise = image.read_noise.to(self.device)
        own = slice(model.neighbours * model.channels, (model.neighbours + 1) * model.channels)
        if image.gain is not None:
            log_gain = _placed(image.log_gain(frame, *windows), spans)[None].to(self.device)
        else:
            log_gain = low_passed_log_gain(electrons[:, own])
        seen = model.scaling.seen(electrons, read_noise.repeat(len(frames), 1, 1))
        response = self.network(
            seen.contiguous(memory_format=torch.channels_last), log_gain - model.scaling.log_gain
        )
        inner = (..., spans[0].inner, spans[1].inner)
        estimate = model.scaling.estimate(response[inner], read_noise)
        return estimate, electrons[:, own][inner]


@dataclass(frozen=True)
class _Span:
    """Along one axis: what to read, where each pixel of the tile lies in it, and what to keep."""

    read: slice
    places: Tensor
    inner: slice

    @classmethod
    def around(cls, wanted: slice, grid: int, halo: int, length: int, spacing: int) -> _Span:
        """Return the span of a tile on the image's grid, with its halo."""
        start, stop = wanted.start // grid * grid - halo, -(-wanted.stop // grid) * grid + halo
        places = _mirrored_phases(torch.arange(start, stop), length, spacing)
        low, high = int(places.min()), int(places.max()) + 1
        inner = slice(wanted.start - start, wanted.stop - start)
        return cls(slice(low, high), places - low, inner)


def _mirrored_phases(places: Tensor, length: int, spacing: int) -> Tensor:
    """Return which pixels stand for places beyond an image's ends: of the same phase, mirrored.

    Phases never meet in the network, so that no pixel meets a copy of itself.
    """
    phase, cell = places.remainder(spacing), places.div(spacing, rounding_mode="floor")
    last = (length - 1 - phase).div(spacing, rounding_mode="floor")
    period = (2 * last).clamp_min(1)
    cell = cell.remainder(period)
    return torch.minimum(cell, (period - cell).clamp_max(last)) * spacing + phase


def _placed(window: Tensor, spans: list[_Span]) -> Tensor:
    """Return a window that was read, laid out as its spans say."""
    return window.index_select(-2, spans[0].places).index_select(-1, spans[1].places)


def open_rendering(
    model: BlindSpotModel,
    image: Any,
    *,
    noise: CameraNoise | None = None,
    gain: Any = None,
    device: str = "auto",
) -> Rendering:
    """Return what renders an image with a model.

    Parameters
    ----------
    model : BlindSpotModel
        Fitted to this image, or to others from the same microscope.
    image : array
        (Y, X) or (frames, Y, X), with samples last if the model has several channels; anything
        with a shape that slices.
    noise : CameraNoise, optional
        Of the camera; left out, estimated of the image.
    gain : array, optional
        If the model was fitted with gain maps: the image's, as then.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps" or "xpu".

    Raises
    ------
    ValueError
        If the image does not suit the model, or cannot be read as one, as of
        `napari_noiser.irle.fitting.fit_blind_spot_steps`.
    """
    if model.gain_given != (gain is not None):
        done = "with" if model.gain_given else "without"
        raise ValueError(f"gain: the model was fitted {done} gain maps, render {done} one as well")
    shape = tuple(getattr(image, "shape", ()))
    if model.channels > 1 and shape[-1:] != (model.channels,):
        raise ValueError(f"the model is for {model.channels} channels, image is of shape {shape}")
    opened = Image.of(image, model.channels, noise, gain, "image")
    opened.check_neighbours(model.neighbours)
    chosen = best_device(device)
    return Rendering(model, opened, model.network(chosen), chosen)


def denoise_steps(
    model: BlindSpotModel,
    image: Any,
    *,
    noise: CameraNoise | None = None,
    gain: Any = None,
    tile: int = 512,
    out: Any = None,
    device: str = "auto",
) -> Generator[TileDone, None, Any]:
    """Denoise a whole image tile by tile.

    The arguments are checked at once.

    Parameters
    ----------
    model, image, noise, gain, device : see `open_rendering`
        What to render, with what, and where.
    tile : int
        Pixels a side; changes the result by rounding only.
    out : array, optional
        To be filled, of the image's shape: numpy or zarr.

    Yields
    ------
    TileDone
        One a tile.

    Returns
    -------
    array of float32
        The light in the image's units; `out`, if given.
    """
    tile = whole("tile", tile)
    rendering = open_rendering(model, image, noise=noise, gain=gain, device=device)
    if out is None:
        out = np.empty(image.shape, np.float32)
    elif tuple(out.shape) != tuple(image.shape):
        raise ValueError(f"out must be of shape {image.shape}, got {out.shape}")
    return _denoise(rendering, tile, out)


def _denoise(rendering: Rendering, tile: int, out: Any) -> Generator[TileDone, None, Any]:
    image = rendering.image
    starts = (range(0, length, tile) for length in image.sides)
    corners = list(product(range(image.frames), *starts))
    for done, (frame, *corner) in enumerate(corners, start=1):
        rows, columns = (
            slice(start, min(start + tile, length))
            for start, length in zip(corner, image.sides, strict=True)
        )
        place = (frame, rows, columns) if image.is_series else (rows, columns)
        out[place] = rendering.light(frame, rows, columns)
        yield TileDone(done, len(corners))
    return out
