"""Several images in one go: those that are selected in napari's layer list."""

from __future__ import annotations

from collections.abc import Sequence

from magicgui.widgets import CheckBox
from napari import Viewer
from napari.components import LayerList
from napari.layers import Image
from psygnal import Signal

from napari_noiser.files.provenance import PROVENANCE
from napari_noiser.plugin.layers.preview_layer import is_preview, source_name
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, guess_axes


def selected_images(layers: LayerList) -> list[Image]:
    """Return the images that are selected in a layer list, from the lowest on."""
    selected = (each for each in layers if each in layers.selection)
    return [each for each in selected if isinstance(each, Image) and not is_preview(each)]


def snapshot_layers(images: Sequence[Image], axes: str) -> list[LayerSnapshot]:
    """Take what is needed from one or several images.

    The axes are those of the first, and of those whose axes would be guessed as its own; others
    have what is guessed for them.
    """
    guess = guess_axes(images[0])
    return [
        LayerSnapshot.from_layer(each, axes if guess_axes(each) == guess else None)
        for each in images
    ]


class SelectedImagesNote(CheckBox):
    """Offers to enhance the other selected images as well; it shows where there are some."""

    offered = Signal()
    """Others may be selected now."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(
            value=True,
            label="",
            tooltip="Apply makes a result of each image that is selected in the layer list, one "
            "after the other: the same settings for all, and for each statistics of its own. "
            "Selected results stand for their images.",
        )
        self._layers = viewer.layers
        self._others: list[Image] = []

    @property
    def images(self) -> list[Image]:
        """The other images to enhance: none, if nobody wants them."""
        return [each for each in self._others if each in self._layers] if self.value else []

    def show_for(self, chosen: Image | None) -> None:
        """Offer what else is selected now than an image, if there is something.

        Results that are selected, as Apply leaves its own, stand for their images if the chosen
        one is among these, and otherwise for nothing.
        """
        selected = selected_images(self._layers)
        if chosen not in selected:
            selected = _sources_of(selected, chosen, self._layers)
        others = [each for each in selected if each is not chosen]
        self._others = others if len(selected) > 1 else []
        count = len(self._others)
        more = f"{count} other selected images" if count > 1 else "other selected image"
        self.text, self.visible = f"and the {more}", count > 0
        self.offered.emit()


def _sources_of(selected: Sequence[Image], chosen: Image | None, layers: LayerList) -> list[Image]:
    """Return images as they are, and instead of results the images that they were made of."""
    found = [each for each in selected if PROVENANCE not in each.metadata]
    names = {source_name(each) for each in selected}
    if chosen is None or chosen.name not in names:
        return found
    images = (each for each in layers if isinstance(each, Image))
    return [each for each in images if each in found or each.name in names]
