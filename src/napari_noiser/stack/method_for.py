"""The method that an image is rendered by: found, then for its output and all of its samples."""

from __future__ import annotations

from os import PathLike

from napari_noiser.irle.two_stages import IRLEModel
from napari_noiser.stack.axes import Colours, Layout
from napari_noiser.stack.colours import SharedColours
from napari_noiser.stack.method import Method
from napari_noiser.stack.models import load_model
from napari_noiser.stack.values import Output

__all__ = ["method_for"]


def method_for(
    model: str | PathLike[str] | Method,
    layout: Layout,
    colours: Colours,
    output: Output,
    max_change: float | None,
) -> Method:
    """Return the method that a model, a name or a path stands for, as an image takes it.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If it sees another number of samples or dimensions than the layout has, or cannot bound
        the change of this output.
    """
    found = _found(model, layout, colours)
    return _for_samples(_for_output(found, output, max_change), layout, colours)


def _found(model: str | PathLike[str] | Method, layout: Layout, colours: Colours) -> Method:
    """Return the method that a model, a name or a path stands for."""
    if isinstance(model, (str, PathLike)):
        return load_model(model, channels=layout.channels(colours), ndim=layout.ndim)
    if isinstance(model, type) or not hasattr(model, "fold"):
        kind = type(model).__name__
        raise TypeError(f"model must be a name, a path or a Model, got {model!r} ({kind})")
    return model


def _for_output(method: Method, output: Output, max_change: float | None) -> Method:
    """Return the method of an output: only a model of both stages has another one for light.

    Raises
    ------
    ValueError
        If it makes no light, or none of which `max_change` could be said.
    """
    light = output == "intensity"
    asked = "output='intensity'" if light else "max_change"
    if not method.restores and (light or max_change is not None):
        raise ValueError(
            f"{asked} takes a model that learned to see light through noise, such as "
            "'structured'; this one makes a display"
        )
    if not isinstance(method, IRLEModel):
        return method
    if not light and max_change is not None:
        raise ValueError(
            "max_change takes output='intensity' with a model of both stages: its display is of "
            "reflectance, not of light"
        )
    return method.restoration() if light else method


def _for_samples(model: Method, layout: Layout, colours: Colours) -> Method:
    """Return a method for all samples of a layout.

    Where colours are kept it is one of one channel, taken for each of the samples; and so is one
    of one channel that restores light, which has no cast to remove.

    Raises
    ------
    ValueError
        If it sees another number of samples or dimensions than the layout has.
    """
    one = model.restores and model.channels == 1
    channels = 1 if one else layout.channels(colours)
    if model.channels != channels and colours == "kept":
        raise ValueError(
            f"colours='kept' takes a model of one sample, trained for channels=1, and gives each "
            f"colour to it alone; got one that sees {model.channels} together"
        )
    if model.channels != channels:
        other = "" if model.channels > 1 else ", or colours='kept'"
        raise ValueError(
            f"model sees {model.channels} samples together, but the image has {layout.samples} "
            f"along S (axes {layout.axes!r}); take a model trained for channels={channels}{other}"
        )
    if model.ndim != layout.ndim:
        raise ValueError(f"model was trained for ndim={model.ndim}, but ndim={layout.ndim} came")
    return model if channels == layout.samples else SharedColours(model, layout.samples)
