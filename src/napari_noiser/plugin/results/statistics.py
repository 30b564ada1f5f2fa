"""An image and its result, compared by a sample of both: histograms, transfer curve, linearity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from napari_noiser._errors import InputError
from napari_noiser.analysis.linearity import Linearity, measure_linearity
from napari_noiser.analysis.transfer import Transfer, histogram, transfer_curve
from napari_noiser.arrays.layout import Layout
from napari_noiser.arrays.sampling import PAIRS, sample_values
from napari_noiser.engine.options import Verb

if TYPE_CHECKING:
    from napari_noiser.analysis.photometry import LightReport


@dataclass(frozen=True)
class Histogram:
    """How often each value occurs; see `napari_noiser.analysis.transfer.histogram`."""

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Histogram:
        """Count the values of an array in memory."""
        return cls(*histogram(values), values.dtype)


@dataclass(frozen=True)
class ResultStatistics:
    """An image and its result, compared: the curve that this amounts to, and how far it is linear.

    Of a result that is light, `light` says what was kept of it.
    """

    before: Histogram
    after: Histogram
    transfer: Transfer
    linearity: Linearity
    light: LightReport | None = None


def lazy_statistics(
    image: Any, result: Any, axes: str, *, verb: Verb = "enhance", camera: Any = None
) -> Callable[[], ResultStatistics]:
    """Return what calls `result_statistics` when it is first called.

    It keeps neither array alive: whoever removes a layer gets its memory back.
    """
    arrays = [_weak_reference(image), _weak_reference(result)]

    @cache
    def statistics() -> ResultStatistics:
        image, result = (get() for get in arrays)
        if image is None or result is None:
            raise InputError("", "The image or its result is gone: Apply again to compare them")
        return result_statistics(image, result, axes, verb=verb, camera=camera)

    return statistics


def _weak_reference(array: Any) -> Callable[[], Any]:
    try:
        return ref(array)
    except TypeError:  # some libraries' arrays have none
        return lambda: array


def result_statistics(
    image: Any, result: Any, axes: str, *, verb: Verb = "enhance", camera: Any = None
) -> ResultStatistics:
    """Compare an image with its result; a few parts of each are read, and only once.

    Both are of one shape and any size, lazy or not; what is returned is small. The camera is as
    the result's provenance holds it, and only used for light.
    """
    layout = Layout.of(tuple(image.shape), axes)
    # As images of one row: each of the four would sample, and render, lazy ones anew.
    pair = sample_values(image, result, layout=layout, most=PAIRS)
    before, after = (values[None] for values in pair)
    return ResultStatistics(
        Histogram.of(before),
        Histogram.of(after),
        transfer_curve(before, after),
        measure_linearity(before, after),
        _light_report(image, result, axes, camera) if verb == "denoise" else None,
    )


def _light_report(image: Any, result: Any, axes: str, camera: Any) -> LightReport:
    from napari_noiser.analysis.photometry import report  # brings torch in
    from napari_noiser.camera.noise_model import camera_from_json

    return report(image, result, axes=axes, camera=camera_from_json(camera))
