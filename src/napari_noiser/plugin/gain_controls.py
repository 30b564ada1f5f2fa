"""The control that says which layer holds the gain map."""

from __future__ import annotations

from magicgui.widgets import ComboBox
from napari import Viewer
from napari.layers import Image, Layer

from napari_noiser.plugin.shown import is_preview

__all__ = ["gain_choice"]


def gain_choice(viewer: Viewer, image: ComboBox) -> ComboBox:
    """Return what `Settings` calls gain.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose images are offered, but for those of colours.
    image : ComboBox
        Chooses the image to enhance, which is not its own gain map.
    """

    def choices(box: object) -> list[tuple[str, Layer | None]]:
        images = (each for each in viewer.layers if isinstance(each, Image) and not each.rgb)
        held = [each for each in images if each is not image.value and not is_preview(each)]
        return [("none", None), *((each.name, each) for each in held)]

    return ComboBox(
        label="gain map",
        choices=choices,
        tooltip="How much each pixel would be amplified, known beforehand: to even out an "
        "illumination or a flat-field, say. An image of values above 0, of the shape of the "
        "image, of its last axes or of one plane. A model that was fitted with gain maps needs "
        "one for each image, and so does its fit. In the console: gain=",
    )
