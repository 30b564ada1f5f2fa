"""What the plots show, as numbers and words: drawing them is another matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_noiser.plugin.results.statistics import Histogram, ResultStatistics

if TYPE_CHECKING:
    from napari_noiser.methods.registry import AnyModel

__all__ = [
    "Figure",
    "LossCurve",
    "Panel",
    "empty_figure",
    "histogram_figure",
    "learned_by",
    "loss_figure",
    "transfer_figure",
]


Values = NDArray[np.float64]

_EMPTY = "None of the values sampled is finite."
_LEVEL = "Where the curve is level, there is nothing more to learn."
_STAGES = {  # by the names of their events
    "train": (
        "training step",
        "How far the network is from reproducing the noise that it sees, and how rough it is.",
    ),
    "light": (
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
    """One pair of axes, and what is drawn in it.

    Attributes
    ----------
    across, up : str
        What the axes say.
    x, y : array
        A line; or a histogram, if x are the edges of its bins, one more than y.
    band : pair of array, optional
        What lies between them is drawn below the line.
    straight : bool
        Whether a straight line from end to end is drawn for comparison.
    powers : bool
        Whether y are powers of ten.
    """

    across: str
    up: str
    x: Values
    y: Values
    band: tuple[Values, Values] | None = None
    straight: bool = False
    powers: bool = False


@dataclass(frozen=True)
class Figure:
    """Panels below each other, and a sentence or two that say how to read them."""

    caption: str
    panels: tuple[Panel, ...] = ()


@dataclass
class LossCurve:
    """The loss of a stage, step by step; it grows while the stage learns."""

    steps: list[float]
    losses: list[float]


def empty_figure(what: str) -> Figure:
    """Return an empty figure that says how to fill it."""
    return Figure(what)


def loss_figure(stages: Mapping[str, LossCurve]) -> Figure:
    """Show how a network learned, stage below stage: their losses are of different kinds."""
    panels = tuple(
        Panel(_STAGES[name][0], "loss", np.asarray(curve.steps), np.asarray(curve.losses))
        for name, curve in stages.items()
    )
    return Figure(" ".join([*(_STAGES[name][1] for name in stages), _LEVEL]), panels)


def histogram_figure(report: ResultStatistics) -> Figure:
    """Show which values an image has, and which its result."""
    if _is_empty(report):
        return empty_figure(_EMPTY)
    return Figure(
        f"Of {report.before.counts.sum():,} values, on a logarithmic scale. Above the image, "
        "below its result.",
        (
            _histogram(report.before, f"image: {_raw(report.before)}"),
            _histogram(report.after, _display(report.after)),
        ),
    )


def transfer_figure(report: ResultStatistics) -> Figure:
    """Show what became of each raw value."""
    if _is_empty(report):
        return empty_figure(_EMPTY)
    curve = report.transfer
    panel = Panel(
        _raw(report.before),
        "result",
        curve.raw,
        curve.median,
        band=(curve.lower, curve.upper),
        straight=True,
    )
    return Figure(
        f"Line: the median result of each raw value; band: nine of ten results; dashes: a linear "
        f"display. {(report.light or report.linearity).remark()}",
        (panel,),
    )


def _is_empty(report: ResultStatistics) -> bool:
    return not report.transfer.raw.size


def _histogram(histogram: Histogram, across: str) -> Panel:
    heights = np.log10(np.maximum(histogram.counts, _NO_COUNT))
    return Panel(across, "values", histogram.edges, heights, powers=True)


def _raw(histogram: Histogram) -> str:
    return "raw value" + (" (gray levels)" if histogram.dtype.kind in "ui" else "")


def _display(histogram: Histogram) -> str:
    white = 1 if histogram.dtype.kind == "f" else np.iinfo(histogram.dtype).max
    return f"result (0 black, {white} white)"


_EVENTS = {None: "train", "light": "light", "denoise": "fit"}  # of the stages of methods


def learned_by(model: AnyModel) -> dict[str, LossCurve]:
    """Return the losses of a model's stages, if it has some, by the names of their events."""
    from napari_noiser.methods.irle.two_stage.model import IRLEModel

    stages = [model.light, model.denoiser] if isinstance(model, IRLEModel) else [model]
    found, begun = {}, 0
    for stage in stages:
        count, steps = len(stage.losses), stage.recipe.iterations
        if count:
            at = [begun + (mean + 0.5) * steps / count for mean in range(count)]
            found[_EVENTS[stage.describe().get("stage")]] = LossCurve(at, list(stage.losses))
        begun += steps
    return found
