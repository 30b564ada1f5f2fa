"""The list of models: bundled ones, recipes that train first, trained, fitted and read here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox

from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.noiser.recipe import RECIPES, Recipe, bundled_form

if TYPE_CHECKING:
    from napari_noiser.engine.fit_stages import FittedRecipe
    from napari_noiser.methods.registry import AnyModel

__all__ = ["ModelComboBox", "offered"]

_SEES = {1: "gray", 3: "RGB"}


class ModelComboBox(ComboBox):
    """The control that chooses a model, by the name of its recipe or as the model itself.

    Parameters
    ----------
    preferred : str
        The recipe to begin with.

    Attributes
    ----------
    models : dict of AnyModel to str
        Those trained, fitted or loaded here, and where each is from: "trained", "fitted to" an
        image, or a file's name.
    """

    def __init__(self, preferred: str) -> None:
        self.models: dict[AnyModel, str] = {}
        self._preferred = preferred
        self._form = (1, 2)
        super().__init__(
            label="model",
            choices=self._offered,
            value=preferred,
            tooltip="What was learned from noise. Bundled models are ready to use; other recipes "
            "train first, for some seconds, or for hours if they are large. Below them are the "
            "models trained, loaded, or fitted to your own images here.",
        )

    @property
    def recipe(self) -> Recipe | FittedRecipe:
        """The chosen recipe, or the chosen model's."""
        return RECIPES[self.value] if isinstance(self.value, str) else self.value.recipe

    @property
    def is_denoiser(self) -> bool:
        """Whether what is chosen sees light through noise: then it can return that light."""
        return bool(
            (RECIPES[self.value] if isinstance(self.value, str) else self.value).is_denoiser
        )

    @property
    def requires_camera_noise(self) -> bool:
        """Whether the camera's noise has to be known, even if it does not grow with the light."""
        return not isinstance(self.value, str) and self.value.requires_camera_noise

    @property
    def requires_gain_map(self) -> bool:
        """Whether what is chosen takes a gain map for each image."""
        return not isinstance(self.value, str) and self.value.requires_gain_map

    @property
    def fitted(self) -> bool:
        """Whether what is chosen was fitted to someone's own images."""
        return not isinstance(self.recipe, Recipe)

    @property
    def method(self) -> str:
        """How what is chosen was learned: from "noise", "images", or those in "both" stages."""
        if not self.fitted:
            return "noise"
        return "both" if isinstance(self.recipe, IRLERecipe) else "images"

    @property
    def trains_first(self) -> bool:
        """Whether what is chosen is a recipe, of which no model is there yet."""
        return isinstance(self.value, str) and not bundled_form(self.value, *self._form)

    @property
    def own(self) -> bool:
        """Whether what is chosen was made or loaded here: it can be renamed and removed."""
        return not isinstance(self.value, str)

    def show_for(self, samples: int, ndim: int) -> None:
        """Say of each recipe whether its model for such images is bundled."""
        self._form = (samples, ndim)
        self._choose(self.value)

    def add(self, model: AnyModel, origin: str = "trained") -> None:
        """Offer a model, in the place of one that is just the same, and choose it."""
        made = model.describe()
        self.models = {
            each: kept for each, kept in self.models.items() if each.describe() != made
        } | {model: origin}
        self._choose(model)

    def rename(self, name: str) -> None:
        """Give the chosen model of one's own another name; see `Model.renamed`."""
        chosen, again = self.value, self.value.renamed(name.strip())
        self.models = {
            again if each is chosen else each: origin for each, origin in self.models.items()
        }
        self._choose(again)

    def remove(self) -> None:
        """Take the chosen model of one's own off the list; results and files of it stay."""
        del self.models[self.value]
        self._choose(self._preferred)

    def _offered(self, box: object) -> list[tuple[str, str | AnyModel]]:
        return offered(self.models, *self._form)

    def _choose(self, value: str | AnyModel) -> None:
        before = self.value
        with self.changed.blocked():  # labels that changed are other choices at first
            self.native.clear()  # otherwise what is new would come last
            self.reset_choices()
            self.value = value
        if value != before:
            self.changed.emit(value)


def offered(
    models: Mapping[AnyModel, str], samples: int, ndim: int
) -> list[tuple[str, str | AnyModel]]:
    """Return what can be chosen for an image, each with a label that is its own.

    Parameters
    ----------
    models : mapping of AnyModel to str
        Trained, fitted or loaded ones, and where each is from.
    samples, ndim : int
        Samples of the image, and the dimensions to render.

    Returns
    -------
    list of (str, str or AnyModel)
        Labels, with names of recipes or models.
    """
    found: dict[str, str | AnyModel] = {}
    for name in RECIPES:
        ready = bundled_form(name, samples, ndim)
        state = "bundled" if ready else "trains first"
        found[f"{name} ({state})"] = name
    for model, origin in models.items():
        sees = _SEES.get(model.samples, f"{model.samples} channels")
        about = f"({origin}, {sees}, {model.ndim}-D)"
        label, count = f"{model.name} {about}", 1
        while label in found:
            count += 1
            label = f"{model.name} [{count}] {about}"
        found[label] = model
    return list(found.items())
