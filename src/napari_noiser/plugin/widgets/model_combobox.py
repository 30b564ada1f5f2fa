"""What the result is to look like, and the list of models: bundled ones, recipes, one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import ComboBox

from napari_noiser.engine.options import DEFAULT_MODEL, Verb
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.noiser.recipe import RECIPES, Recipe, bundled_form
from napari_noiser.plugin.settings import LOOKS

if TYPE_CHECKING:
    from napari_noiser.methods.base import Model, ModelRecipe

_AUTO = "auto"
_SEES = {1: "gray", 3: "RGB"}


OWN_LOOK = "own"
"""The look of a model, background and colors that are chosen one by one."""


class LookComboBox(ComboBox):
    """The control that chooses one of `LOOKS`, or that everything is chosen by oneself."""

    def __init__(self, value: str) -> None:
        words = [(look.words.capitalize(), name) for name, look in LOOKS.items()]
        about = "; ".join(f"{look.words}: {look.about}" for look in LOOKS.values())
        super().__init__(
            label="look",
            choices=[*words, ("A model of your own…", OWN_LOOK)],
            value=value,
            tooltip=f"{about[0].upper()}{about[1:]}. Or take a model of your own, or any other: "
            "the list of them is then shown. In the console: model=, background=, colors=",
        )

    def say_what_auto_is(self, words: str) -> None:
        """Say what suits the chosen image; nothing, if that is unknown."""
        text = LOOKS["auto"].words.capitalize()
        self.native.setItemText(0, f"{text} ({words})" if words else text)


class ModelComboBox(ComboBox):
    """The control that chooses a model: "auto", the name of a recipe, or the model itself.

    `models` are those trained, fitted or loaded here, with where each is from: "trained", "fitted
    to" an image, or a file's name. It begins with the preferred choice.
    """

    def __init__(self, preferred: str) -> None:
        self.models: dict[Model, str] = {}
        self._preferred = preferred
        self._form = (1, 2)
        self._verb: Verb = "enhance"
        super().__init__(
            label="model",
            choices=self._offered,
            value=preferred,
            tooltip="What was learned from noise. Auto is the one that suits what is chosen as "
            "result. Bundled models are ready to use; other recipes train first, for some "
            "seconds, or for hours if they are large. Below them are the models trained, loaded, "
            "or fitted to your own images here.",
        )

    @property
    def resolved(self) -> str | Model:
        """What is chosen, with "auto" resolved: the name of a recipe, or a model."""
        chosen: str | Model = self.value
        return DEFAULT_MODEL if chosen == _AUTO else chosen

    @property
    def recipe(self) -> ModelRecipe:
        """The chosen recipe, or the chosen model's."""
        resolved = self.resolved
        return RECIPES[resolved] if isinstance(resolved, str) else resolved.recipe

    @property
    def is_denoiser(self) -> bool:
        """Whether the chosen model learned to see light through noise."""
        chosen = self.resolved
        return (RECIPES[chosen] if isinstance(chosen, str) else chosen.traits).is_denoiser

    @property
    def can_denoise(self) -> bool:
        """Whether light can be asked for with this choice."""
        return self.value == _AUTO or self.is_denoiser

    @property
    def requires_camera_noise(self) -> bool:
        """Whether the camera's noise has to be known, even if it does not grow with the light."""
        return self.own and bool(self.value.traits.requires_camera_noise)

    @property
    def requires_gain_map(self) -> bool:
        """Whether the chosen model takes a gain map for each image."""
        return self.own and bool(self.value.traits.requires_gain_map)

    @property
    def fitted(self) -> bool:
        """Whether the chosen model was fitted to images."""
        return not isinstance(self.recipe, Recipe)

    @property
    def method(self) -> str:
        """How the chosen model was learned: from "noise", "images", or those in "both" stages."""
        if not self.fitted:
            return "noise"
        return "both" if isinstance(self.recipe, IRLERecipe) else "images"

    @property
    def trains_first(self) -> bool:
        """Whether a recipe is chosen of which there is no model yet."""
        resolved = self.resolved
        return isinstance(resolved, str) and not bundled_form(resolved, *self._form)

    @property
    def own(self) -> bool:
        """Whether the chosen model was made or loaded here: it can be renamed and removed."""
        return not isinstance(self.value, str)

    def show_for(self, samples: int, ndim: int, verb: Verb) -> None:
        """Say of each recipe whether its model for such images is bundled, and what "auto" is."""
        self._form, self._verb = (samples, ndim), verb
        self._choose(self.value)

    def add(self, model: Model, origin: str = "trained") -> None:
        """Offer a model instead of an equal one, and choose it."""
        description = model.describe()
        self.models = {
            each: origin for each, origin in self.models.items() if each.describe() != description
        } | {model: origin}
        self._choose(model)

    def rename(self, name: str) -> None:
        """Give the chosen model, made or loaded here, another name; see `Model.renamed`."""
        chosen, renamed = self.value, self.value.renamed(name.strip())
        self.models = {
            renamed if each is chosen else each: origin for each, origin in self.models.items()
        }
        self._choose(renamed)

    def remove_chosen(self) -> None:
        """Take the chosen model off the list; results and files of it stay."""
        del self.models[self.value]
        self._choose(self._preferred)

    def _offered(self, box: object) -> list[tuple[str, str | Model]]:
        """Return what can be chosen, each with a label of its own."""
        samples, ndim = self._form
        found: dict[str, str | Model] = {}
        for name in RECIPES:
            ready = bundled_form(name, samples, ndim)
            label = f"{name} ({'bundled' if ready else 'trains first'})"
            if name == DEFAULT_MODEL:
                found = {f"auto: {label}": _AUTO, **found}
            found[label] = name
        for model, origin in self.models.items():
            sees = _SEES.get(model.samples, f"{model.samples} channels")
            about = f"({origin}, {sees}, {model.ndim}-D)"
            label, count = f"{model.name} {about}", 1
            while label in found:
                count += 1
                label = f"{model.name} [{count}] {about}"
            found[label] = model
        return list(found.items())

    def _choose(self, value: str | Model) -> None:
        before = self.value
        with self.changed.blocked():  # labels that changed are other choices at first
            self.native.clear()  # otherwise what is new would come last
            self.reset_choices()
            self.value = value
        if value != before:
            self.changed.emit(value)
