"""The figures of the plots section as numbers and words, without drawing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_noiser.plugin.results.statistics import Histogram, ResultStatistics

if TYPE_CHECKING:
    from napari_noiser.methods.base import Model

Values = NDArray[np.float64]

_EMPTY = "None of the values sampled is finite."
_LEVEL = "Where the curve is level, there is nothing more to learn."
_STAGES = {  # by the names of their events: the label of x, and the caption
    "train": (
        "training step",
        "How far the network is from reproducing the noise that it sees, and how rough it is.",
    ),
    "illumination": (
        "step of stage 1",
        "Stage 1: how far illumination and reflectance are from what is asked of them.",
    ),
    "fit": (
        "fitting step",
        "How badly the network tells what was counted in a pixel from those around it. The noise "
        "itself cannot be told: below its level the curve does not fall. Steps see other crops, "
        "so it is rough.",
    ),
}
_NO_COUNT = 0.5  # where a bin without values is drawn on the logarithmic scale


@dataclass(frozen=True)
class Panel:
    """One pair of axes, and its curve.

    It is a line; or a histogram, if `x` are the edges of its bins, one more than `y`. A band is
    the area between two curves, filled below the line; the diagonal is a straight line from end to
    end, for comparison. With `log_y`, `y` are decadic logarithms.
    """

    x_label: str
    y_label: str
    x: Values
    y: Values
    band: tuple[Values, Values] | None = None
    diagonal: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Figure:
    """A column of panels, and a caption; without panels it says how to fill it."""

    caption: str
    panels: tuple[Panel, ...] = ()


@dataclass
class LossCurve:
    """The loss of a stage of training, step by step; appended to while it runs."""

    steps: list[float]
    losses: list[float]


def loss_figure(stages: Mapping[str, LossCurve]) -> Figure:
    """Return the loss curves of all stages, a panel each: their losses are of different kinds."""
    panels = tuple(
        Panel(_STAGES[name][0], "loss", np.asarray(curve.steps), np.asarray(curve.losses))
        for name, curve in stages.items()
    )
    return Figure(" ".join([*(_STAGES[name][1] for name in stages), _LEVEL]), panels)


def histogram_figure(statistics: ResultStatistics) -> Figure:
    """Return the histograms of an image and of its result."""
    if not statistics.transfer.raw.size:
        return Figure(_EMPTY)
    before, after = statistics.before, statistics.after
    white = 1 if after.dtype.kind == "f" else np.iinfo(after.dtype).max
    return Figure(
        f"Of {before.counts.sum():,} values, on a logarithmic scale. Above the image, below its "
        "result.",
        (
            _histogram(before, f"image: {_raw_label(before)}"),
            _histogram(after, f"result (0 black, {white} white)"),
        ),
    )


def transfer_figure(statistics: ResultStatistics) -> Figure:
    """Return the transfer curve: the result of each raw value."""
    curve = statistics.transfer
    if not curve.raw.size:
        return Figure(_EMPTY)
    panel = Panel(
        _raw_label(statistics.before),
        "result",
        curve.raw,
        curve.median,
        band=(curve.lower, curve.upper),
        diagonal=True,
    )
    return Figure(
        f"Line: the median result of each raw value; band: nine of ten results; dashes: a linear "
        f"display. {(statistics.light or statistics.linearity).remark()}",
        (panel,),
    )


def _histogram(histogram: Histogram, x_label: str) -> Panel:
    heights = np.log10(np.maximum(histogram.counts, _NO_COUNT))
    return Panel(x_label, "values", histogram.edges, heights, log_y=True)


def _raw_label(histogram: Histogram) -> str:
    return "raw value" + (" (gray levels)" if histogram.dtype.kind in "ui" else "")


_EVENTS = {None: "train", "light": "illumination", "denoise": "fit"}  # of the stages of methods


def loss_curves(model: Model) -> dict[str, LossCurve]:
    """Return the losses that a model carries, by the names of its stages' events.

    Each loss is a mean over as many steps.
    """
    from napari_noiser.methods.irle.two_stage.model import IRLEModel

    stages: list[Any] = (
        [model.retinex, model.denoiser] if isinstance(model, IRLEModel) else [model]
    )
    curves, first = {}, 0
    for stage in stages:
        count, steps = len(stage.losses), stage.recipe.iterations
        if count:
            middles = [first + (mean + 0.5) * steps / count for mean in range(count)]
            event = _EVENTS[stage.describe().get("stage")]
            curves[event] = LossCurve(middles, list(stage.losses))
        first += steps
    return curves
