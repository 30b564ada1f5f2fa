"""What the samples of a TIFF file mean: light, its negative, indices of a palette, or alpha."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser.arrays.chunks import chunk_grid
from napari_noiser.arrays.lazy_view import LazyView
from napari_noiser.arrays.mapped_file import FileView, unmapped

if TYPE_CHECKING:
    from tifffile import TiffPage

_COLORS = ("RGB", "YCBCR", "LINEAR_RAW")
_REFUSED: Mapping[str, str] = {
    "SEPARATED": "inks (CMYK), not light",
    "CIELAB": "lightness and hue (CIE L*a*b*), not light",
    "ICCLAB": "lightness and hue (ICC L*a*b*), not light",
    "ITULAB": "lightness and hue (ITU L*a*b*), not light",
    "LOGL": "logarithms of light (LogL)",
    "LOGLUV": "logarithms of light and hue (LogLuv)",
    "MASK": "a transparency mask",
    "CFA": "of a color filter array (raw), which are to be demosaiced first",
}
_LUT = 0.95  # correlation of a palette's brightness with the index: it only colors the light


def holds_colors(page: TiffPage) -> bool:
    """Return whether the samples of each pixel are said to be red, green and blue."""
    return _meaning(page) in _COLORS


def check_samples(page: TiffPage) -> None:
    """Raise an `InputError` if samples mean something that is not understood."""
    meaning = _meaning(page)
    converted = meaning != "YCBCR" or "JP" in str(getattr(page.compression, "name", ""))
    refused = _REFUSED.get(meaning) or ("" if converted else "brightness and hue (YCbCr)")
    if refused:
        raise InputError("", f"its values are {refused}: convert it to gray or RGB")


def interpret_samples(array: Any, axes: str, page: TiffPage) -> tuple[Any, str]:
    """Return an array of light and its axes; nothing is read.

    Parameters
    ----------
    array : array
        Of all pages.
    axes : str
        Of the array, as tifffile has them, S for samples.
    page : TiffPage
        That says for all what their samples mean. What is white at 0 is turned around, a
        palette's indices become its colors (or grays), unless it is a scale of brightness that
        only colors them, and alpha beside gray is left out.

    """
    meaning, given = _meaning(page), array
    array = unmapped(given)
    if not holds_colors(page):
        array, axes = _without_alpha(array, axes, page)
    if meaning == "MINISWHITE":
        return _inverted(array, page), axes
    if meaning == "PALETTE":
        array, axes = _looked_up(array, axes, page)
    return (given if isinstance(array, FileView) else array), axes


def _meaning(page: TiffPage) -> str:
    return str(getattr(page.photometric, "name", ""))


def _without_alpha(array: Any, axes: str, page: TiffPage) -> tuple[Any, str]:
    alpha = [int(each) for each in page.extrasamples if int(each) in (1, 2)]
    if not alpha or "S" not in axes:
        return array, axes
    axis = axes.index("S")
    left = array.shape[axis] - len(alpha)
    if left == 1:
        shape = tuple(n for at, n in enumerate(array.shape) if at != axis)
        first = slice(0, 1)

        def read(box: tuple[slice, ...]) -> NDArray[Any]:
            part = np.asarray(array[(*box[:axis], first, *box[axis:])])
            return part.squeeze(axis)

        chunks = chunk_grid(array).largest_chunk
        chunks = tuple(n for at, n in enumerate(chunks) if at != axis)
        return LazyView.whole(read, shape, array.dtype, chunks, array), axes.replace("S", "")
    shape = tuple(left if at == axis else n for at, n in enumerate(array.shape))
    return _view(array, lambda values: values, array.dtype, shape), axes


def _inverted(array: Any, page: TiffPage) -> LazyView:
    dtype = np.dtype(array.dtype)
    if dtype.kind != "u":
        raise InputError("", f"its values are white at 0, which {dtype} leaves open: invert it")
    white = dtype.type(2 ** min(int(page.bitspersample), 8 * dtype.itemsize) - 1)
    return _view(array, lambda values: white - values, dtype)


def _looked_up(array: Any, axes: str, page: TiffPage) -> tuple[Any, str]:
    palette = page.colormap
    if palette is None or np.dtype(array.dtype).kind != "u":
        raise InputError("", "its values are indices of a palette that it does not hold")
    colors = np.asarray(palette, np.float64)
    brightness = colors.mean(axis=0)
    if np.ptp(brightness) > 0 and np.corrcoef(np.arange(len(brightness)), brightness)[0, 1] > _LUT:
        return array, axes
    eight_bits = not (palette % 257).any()
    table = (palette // 257).astype(np.uint8) if eight_bits else np.asarray(palette, np.uint16)
    if (table == table[0]).all():
        return _view(array, lambda values: table[0][values], table.dtype), axes
    if "S" in axes:
        raise InputError("", f"its values are indices of a palette, but its axes are {axes}")
    chunks = (*chunk_grid(array).largest_chunk, 3)

    def read(box: tuple[slice, ...]) -> NDArray[Any]:
        return np.ascontiguousarray(table.T[np.asarray(array[box[:-1]])][..., box[-1]])

    return LazyView.whole(read, (*array.shape, 3), table.dtype, chunks, array), axes + "S"


def _view(
    array: Any,
    convert: Callable[[NDArray[Any]], NDArray[Any]],
    dtype: np.dtype[Any],
    shape: tuple[int, ...] | None = None,
) -> LazyView:
    """Return an array whose values are converted as they are read."""

    def read(box: tuple[slice, ...]) -> NDArray[Any]:
        return convert(np.asarray(array[box]))

    chunks = chunk_grid(array).largest_chunk
    return LazyView.whole(read, shape or tuple(array.shape), dtype, chunks, array)
