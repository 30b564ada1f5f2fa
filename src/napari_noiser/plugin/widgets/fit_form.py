"""The controls of how a model is learned: from noise alone, or from the user's own images."""

from __future__ import annotations

from dataclasses import replace

from magicgui.widgets import ComboBox, SpinBox
from psygnal import Signal

from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.plugin.widgets.qt_helpers import Column, form

_METHODS = [
    ("noise alone, no data", "noise"),
    ("your images, blind spot", "images"),
    ("your images, light as well", "both"),
]
_GAINS = [("the image's own light", "light"), ("the gain map above", "given"), ("none", "none")]


def method_choice() -> ComboBox:
    """Return the control: training on "noise", fitting to "images", or fitting "both" stages."""
    return ComboBox(
        label="method",
        choices=_METHODS,
        tooltip="Noise alone: the network never sees an image, and is ready in seconds. Your "
        "images: a blind spot is fitted to the images chosen above. It learns to tell each pixel "
        "from those around it, which the noise does not let it, and so takes the noise out. No "
        "clean image is needed; it takes minutes. Light as well: before that, the images are "
        "taken apart into illumination and what it falls on, and dark corners come out as bright "
        "as the middle (planes only).",
    )


def seed_choice() -> SpinBox:
    """Return the control of the seed, for either method."""
    return SpinBox(
        label="seed",
        min=0,
        max=2**31 - 1,
        tooltip="Another seed, another noise and other crops: a slightly different model.",
    )


class FitForm(Column):
    """The controls of a blind spot's recipe; its other fields are those of the recipe shown."""

    edited = Signal()

    def __init__(self) -> None:
        self._shown = BlindSpotRecipe()
        self.fields: dict[str, SpinBox | ComboBox] = {
            "iterations": SpinBox(
                label="fitting steps",
                min=1,
                max=2**31 - 1,
                tooltip="How long it learns. Many images bear many steps; of a few megapixels "
                "the noise itself is learned by heart in the end, and comes back as grain.\n"
                "In a script: iterations",
            ),
            "width": SpinBox(
                label="network width",
                min=1,
                max=2**16,
                tooltip="How much it can tell apart. A wider network draws finer, and takes "
                "longer to fit and to apply: twice the width, up to four times.\n"
                "In a script: width",
            ),
            "gain": ComboBox(
                label="guided by",
                choices=_GAINS,
                tooltip="The image's own light: the network is told how dark each part of the "
                "image is (in blocks of 16 x 16 pixels), and so how much noise there is "
                "among what it sees. The gain map above: it is told so by the layer that "
                "is chosen there. None: it works that out by itself.\nIn a script: gain",
            ),
        }
        super().__init__(
            form(*self.fields.values()),
            tooltip="How the network is fitted. In the console: "
            "napari_noiser.recipes.BlindSpotRecipe",
        )
        self.show_recipe(self._shown)
        for field in self.fields.values():
            field.changed.connect(lambda: self.edited.emit())

    def recipe_for(self, method: str) -> BlindSpotRecipe | IRLERecipe:
        """Return the recipe of a method that fits, with both stages if it is "both"."""
        chosen = {name: field.value for name, field in self.fields.items()}
        recipe = BlindSpotRecipe(**{**self._shown.to_dict(), **chosen})
        return IRLERecipe(denoiser=replace(recipe, gain="given")) if method == "both" else recipe

    def takes_gain(self, method: str) -> bool:
        """Return whether a fit by a method takes a gain map for each image."""
        return method == "images" and self.fields["gain"].value == "given"

    def show_for(self, method: str) -> None:
        """Show the controls that a method has."""
        self.fields["gain"].visible = method != "both"

    def show_recipe(self, recipe: BlindSpotRecipe) -> None:
        """Show a recipe."""
        self._shown = recipe
        for name, field in self.fields.items():
            field.value = getattr(recipe, name)
        self.edited.emit()
