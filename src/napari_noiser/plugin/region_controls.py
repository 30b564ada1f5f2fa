"""The controls that say which pixels set the exposure."""

from __future__ import annotations

from magicgui.widgets import CheckBox, ComboBox
from napari import Viewer
from napari.layers import Labels, Layer, Shapes

__all__ = ["region_controls"]


def region_controls(viewer: Viewer) -> tuple[ComboBox, ComboBox, CheckBox]:
    """Return what `Settings` calls region, leave_out and all_planes.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose labels and shapes are offered.
    """

    def choices(none: str) -> list[tuple[str, Layer | None]]:
        marked = [each for each in viewer.layers if isinstance(each, (Labels, Shapes))]
        return [(none, None), *((each.name, each) for each in marked)]

    region = ComboBox(
        label="exposure from",
        choices=lambda box: choices("whole image"),
        tooltip="What must be exposed well: a cell you painted (Labels) or outlined (Shapes), and "
        "not the glass around it. Everything is rendered; this part sets the brightness.",
    )
    leave_out = ComboBox(
        label="leave out",
        choices=lambda box: choices("nothing"),
        tooltip="What must not count, such as saturated spots or the black borders of a stitched "
        "image: a Labels or Shapes layer that marks them.",
    )
    all_planes = CheckBox(
        text="regions hold on all planes",
        tooltip="A region on one plane, channel or time point holds on all of them. Needed where "
        "each of them has an exposure of its own, as channels always have.",
    )
    return region, leave_out, all_planes
