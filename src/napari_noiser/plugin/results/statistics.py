"""What a result made of its image, told by a sample of both: to be plotted, and to be honest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.analysis.linearity import Linearity, measure_linearity
from napari_noiser.analysis.transfer import Transfer, histogram, transfer_curve
from napari_noiser.arrays.image_array import Output
from napari_noiser.arrays.layout import Layout
from napari_noiser.arrays.sampling import PAIRS, sample_values

if TYPE_CHECKING:
    from napari_noiser.analysis.photometry import LightReport

__all__ = ["Histogram", "ResultStatistics", "result_statistics"]


@dataclass(frozen=True)
class Histogram:
    """How often each value occurs.

    Attributes
    ----------
    counts, edges : array
        As of `napari_noiser.analysis.transfer.histogram`.
    dtype : dtype
        Of the values.
    """

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Histogram:
        """Count the values of an array in memory."""
        return cls(*histogram(values), values.dtype)


@dataclass(frozen=True)
class ResultStatistics:
    """An image and its result, compared.

    Attributes
    ----------
    before, after : Histogram
        Of the image and of the result.
    transfer : Transfer
        The curve that the result amounts to.
    linearity : Linearity
        How far it is from being proportional to the image.
    light : LightReport, optional
        What it kept of the light, if it is light.
    """

    before: Histogram
    after: Histogram
    transfer: Transfer
    linearity: Linearity
    light: LightReport | None = None

    @property
    def provenance(self) -> dict[str, Any]:
        """What belongs into the result's metadata, as JSON-able values."""
        light = {} if self.light is None else {"light": asdict(self.light)}
        return {"linearity": asdict(self.linearity), **light}


def result_statistics(
    image: Any, result: Any, axes: str, *, output: Output = "display", camera: Any = None
) -> ResultStatistics:
    """Compare an image with its result; a few parts of each are read, and only once.

    Parameters
    ----------
    image, result : array
        Of one shape and any size, lazy or not.
    axes, output
        As in `napari_noiser.enhance`.
    camera : optional
        As a result's provenance tells of it; for light.

    Returns
    -------
    Report
        Small, whatever the image's size.
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
        _light_report(image, result, axes, camera) if output == "intensity" else None,
    )


def _light_report(image: Any, result: Any, axes: str, camera: Any) -> LightReport:
    from napari_noiser.analysis.photometry import report  # brings torch in
    from napari_noiser.camera.noise_model import camera_from_json

    return report(image, result, axes=axes, camera=camera_from_json(camera))
