"""An image of any size and kind that slices, read window by window as electrons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noiser.camera.noise_model import CameraNoise, estimate_noise
from napari_noiser.irle.gain import log_of

__all__ = ["Image", "open_images"]

_LEAST_SIDE = 64
_LEAST_PIXELS = 2**16
_PROBE = 512  # pixels a side, of which the noise is estimated


@dataclass(frozen=True, eq=False)
class Image:
    """A plane, or a series of frames, with its camera's noise and, where given, its gain map.

    Attributes
    ----------
    array : array
        Anything with a shape that slices to a numpy array: (Y, X) or (frames, Y, X), of several
        channels (Y, X, S) or (frames, Y, X, S). Never read whole.
    channels : int
        Samples, 1 for none.
    noise : tuple of CameraNoise
        One a channel.
    gain : array or None
        Of the same shape without the samples.
    name : str
        What error messages call it.
    """

    array: Any
    channels: int
    noise: tuple[CameraNoise, ...]
    gain: Any = None
    name: str = "image"

    @classmethod
    def of(
        cls, array: Any, channels: int, noise: CameraNoise | None, gain: Any, name: str
    ) -> Image:
        """Return an image whose noise is estimated where it is not given.

        Raises
        ------
        ValueError
            If the array is of another form, smaller than 64 pixels a side, constant or not
            finite where it was looked at, or its noise cannot be told; if the gain map has
            another shape.
        """
        shape = _form(array, channels, name)
        form = None if gain is None else tuple(getattr(gain, "shape", ()))
        if form not in (None, shape[:-1], shape[-3:-1]):
            raise ValueError(f"the gain of {name} must be of shape {shape[:-1]}, got {form}")
        bare = cls(array, channels, (CameraNoise(1.0),) * channels, gain, name)
        probe = bare.counts([bare.frames // 2], *bare.middle(_PROBE))[0]
        if any(np.ptp(plane) == 0 for plane in probe):
            raise ValueError(f"{name} is constant in its middle: there is nothing to learn from")
        known = (noise,) * channels if noise else tuple(_estimated(p, name) for p in probe)
        return cls(array, channels, known, gain, name)

    @property
    def frames(self) -> int:
        """How many frames there are; 1 for a plane."""
        return int(self.array.shape[0]) if self.is_series else 1

    @property
    def is_series(self) -> bool:
        """Whether the first axis counts frames."""
        return len(self.array.shape) - (self.channels > 1) == 3

    @property
    def sides(self) -> tuple[int, int]:
        """Y and X."""
        height, width = self.array.shape[1 if self.is_series else 0 :][:2]
        return int(height), int(width)

    @property
    def read_noise(self) -> Tensor:
        """Electrons, (C, 1, 1) in float32."""
        return torch.tensor([each.read_noise for each in self.noise]).view(-1, 1, 1)

    def middle(self, side: int) -> tuple[slice, slice]:
        """Return the rows and columns of a square in the middle."""
        rows, columns = (
            slice((length - min(length, side)) // 2, (length + min(length, side)) // 2)
            for length in self.sides
        )
        return rows, columns

    def around(self, frame: int, neighbours: int) -> list[int]:
        """Return a frame in the middle of its neighbours; mirrored where the series ends."""
        last = self.frames - 1
        places = range(frame - neighbours, frame + neighbours + 1)
        return [last - abs(last - abs(place)) for place in places]

    def check_neighbours(self, neighbours: int) -> None:
        """Raise a `ValueError` if there are too few frames for so many to either side."""
        if self.frames <= neighbours:
            raise ValueError(
                f"{self.name} must have more than {neighbours} frames for {neighbours} "
                f"neighbours to either side, got {self.frames}"
            )

    def counts(self, frames: Sequence[int], rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return (frames, C, Y, X) as stored, or raise a `ValueError` if not finite."""
        found = [
            np.asarray(self.array[(frame, rows, columns) if self.is_series else (rows, columns)])
            for frame in frames
        ]
        values = np.stack(found).astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"{self.name} must be finite throughout")
        return values[:, None] if self.channels == 1 else np.moveaxis(values, -1, 1)

    def electrons(self, frames: Sequence[int], rows: slice, columns: slice) -> Tensor:
        """Return (frames * C, Y, X) in float32, frame by frame."""
        offset, gain = self._lines()
        found = (self.counts(frames, rows, columns) - offset) / gain
        return torch.from_numpy(found.reshape(-1, *found.shape[2:]).astype(np.float32))

    def stored(self, electrons: Tensor) -> NDArray[np.float32]:
        """Return (C, Y, X) electrons in the image's units and order of axes."""
        offset, gain = self._lines()
        values = (electrons.double().numpy() * gain + offset).astype(np.float32)
        return np.asarray(values[0] if self.channels == 1 else np.moveaxis(values, 0, -1))

    def log_gain(self, frame: int, rows: slice, columns: slice) -> Tensor:
        """Return (1, Y, X) of the gain map given."""
        per_frame = self.is_series and len(self.gain.shape) == 3
        window = (frame, rows, columns) if per_frame else (rows, columns)
        return log_of(np.asarray(self.gain[window]))[None]

    def _lines(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        offset, gain = np.array([(each.offset, each.gain) for each in self.noise]).T
        return offset[:, None, None], gain[:, None, None]


def open_images(
    images: Sequence[Any],
    gain: Sequence[Any] | None,
    noise: CameraNoise | Sequence[CameraNoise] | None,
    channels: int,
    neighbours: int,
) -> list[Image]:
    """Return images to fit to, each with its noise and gain.

    Raises
    ------
    ValueError
        If one of them is not to be fitted to, as of `Image.of`; if a series is too short for its
        neighbours, or there are fewer than 65,536 pixels in all.
    """
    count = len(images)
    if not count:
        raise ValueError("images must hold at least one image")
    gains = [None] * count if gain is None else list(gain)
    noises = list(noise) if isinstance(noise, Sequence) else [noise] * count
    for name, given in (("gain", gains), ("noise", noises)):
        if len(given) != count:
            raise ValueError(f"{name} must be one an image, {count}; got {len(given)}")
    found = [
        Image.of(image, channels, noises[at], gains[at], f"images[{at}]")
        for at, image in enumerate(images)
    ]
    for image in found:
        image.check_neighbours(neighbours)
    pixels = sum(image.frames * image.sides[0] * image.sides[1] for image in found)
    if pixels < _LEAST_PIXELS:
        raise ValueError(
            f"images have too few pixels: {_LEAST_PIXELS} in all at least, got {pixels}; "
            "of fewer, the network learns the noise by heart"
        )
    return found


def _form(array: Any, channels: int, name: str) -> tuple[int, ...]:
    """Return an array's shape with one axis of samples, or raise an error."""
    shape = tuple(int(length) for length in getattr(array, "shape", ()))
    full = shape if channels > 1 else (*shape, 1)
    wanted = "(Y, X) or (frames, Y, X)" + (f" and {channels} samples last" if channels > 1 else "")
    if len(full) not in (3, 4) or full[-1] != channels or 0 in full:
        raise ValueError(f"{name} must be an array of shape {wanted}, got shape {shape}")
    if min(full[-3:-1]) < _LEAST_SIDE:
        raise ValueError(
            f"{name} has too few pixels: {_LEAST_SIDE} a side at least, got shape {shape}"
        )
    return full


def _estimated(plane: NDArray[np.float64], name: str) -> CameraNoise:
    try:
        return estimate_noise(plane)
    except ValueError as error:
        raise ValueError(f"the noise of {name} cannot be told ({error})") from error
