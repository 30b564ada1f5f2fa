"""The controls of what Apply does: image, look, options, layers, and where the result is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, FileEdit, FloatSlider, LineEdit, Widget
from magicgui.widgets.bases import ValueWidget
from napari import Viewer
from napari.layers import Image, Labels, Layer, Shapes
from psygnal import Signal

from napari_noiser._errors import InputError
from napari_noiser.engine.options import Option, Verb, verb_options
from napari_noiser.methods.irle.blind_spot.recipe import BlindSpotRecipe
from napari_noiser.methods.irle.two_stage.recipe import IRLERecipe
from napari_noiser.methods.noiser.recipe import RECIPES, Recipe
from napari_noiser.plugin.layers.preview_layer import is_preview
from napari_noiser.plugin.layers.selection import (
    SelectedImagesNote,
    selected_images,
    snapshot_layers,
)
from napari_noiser.plugin.layers.snapshot import LayerSnapshot, axes_choices, guess_axes
from napari_noiser.plugin.settings import KEEPS, LOOKS, Settings
from napari_noiser.plugin.widgets.fit_form import FitForm, method_choice, seed_choice
from napari_noiser.plugin.widgets.model_combobox import OWN_LOOK, LookComboBox, ModelComboBox
from napari_noiser.plugin.widgets.qt_helpers import NARROW, OptionalComboBox, resettable
from napari_noiser.plugin.widgets.recipe_editor import RecipeEditor

_LOOK_OPTIONS = ("background", "colors")  # which a look decides, besides the model
_DEVICES = ("auto", "cpu")  # that any machine has
_SLIDER_RANGES = {"brightness": (-3.0, 3.0), "contrast": (0.1, 5.0)}


def option_names() -> dict[str, Option]:
    """Return the options of all verbs by name: first those that only one verb has."""
    verbs = [verb_options(verb) for verb in get_args(Verb)]
    options = {name: option for each in verbs for name, option in each.items()}
    return dict(sorted(options.items(), key=lambda item: sum(item[0] in each for each in verbs)))


def option_control(name: str, option: Option, preferred: Mapping[str, Any]) -> ValueWidget[Any]:
    """Return the control of an option that has a label; preferred values replace its default."""
    value = preferred.get(name, option.default)
    tooltip = f"{option.help[:1].upper()}{option.help[1:]}."
    if option.choices:
        words = option.words or tuple(map(str, option.choices))
        choices = list(zip(words, option.choices, strict=True))
        if name == "device":  # more of them where they are found to work
            choices = [each for each in choices if each[1] in (*_DEVICES, value)]
        box = OptionalComboBox(label=option.label, choices=choices, tooltip=tooltip)
        if value in option.choices:
            box.value = value
        return box
    if isinstance(option.default, bool):
        return CheckBox(text=option.label, value=value, tooltip=tooltip)
    if name in _SLIDER_RANGES:
        low, high = _SLIDER_RANGES[name]
        return FloatSlider(
            label=option.label, value=value, min=low, max=high, step=0.05, tooltip=tooltip
        )
    text = "" if value is None else str(value)
    return LineEdit(label=option.label, value=text, tooltip=tooltip)


def option_value(option: Option, control: ValueWidget[Any]) -> Any:
    """Return the value of an option's control; text is read as on the command line."""
    if not isinstance(control, LineEdit):
        return control.value
    text = control.value.strip()
    return option.parse(text) if text else None


_VERBS = [("for looking", "enhance"), ("in counts, for measuring", "denoise")]

TOP, STACK, REGION, NOISE, SAVING = (
    "",
    "Stack and axes",
    "Region",
    "Noise, repair and background",
    "Saving and device",
)
"""The titles of the parts of the form, and that of what is always seen."""

_PARTS = {
    **dict.fromkeys(("brightness", "contrast"), TOP),
    **dict.fromkeys(("ndim", "statistics"), STACK),
    "mask": REGION,
    **dict.fromkeys(("dtype", "out", "device"), SAVING),
}
"""Where the control of an option stands; those of others stand in `NOISE`."""
_KEEP = list(zip(("in memory", "live, as you look", "on disk"), KEEPS, strict=True))
_NO_IMAGE = (
    "Open an image first (File > Open Sample > napari-noiser has dim ones). Points, labels, "
    "shapes and other layers have no brightness to enhance."
)


class SettingsForm:
    """All controls that say what Apply does, filled in from a viewer and napari's preferences.

    `options` holds the controls of the verbs' options, by the options' names. `shown` is emitted
    where other controls may be shown than before.
    """

    shown = Signal()

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._watched: Image | None = None  # whose axes are offered
        self._shape: tuple[int, ...] | None = None  # of the image chosen last
        self._by_look = False  # whether a look is choosing the model and options
        preferred = Settings.from_preferences()
        self.image, self.axes = _image_choices(viewer)
        self.others = SelectedImagesNote(viewer)
        self.model = ModelComboBox(str(preferred.model))
        self.look = LookComboBox("auto" if preferred.model == "auto" else OWN_LOOK)
        self.verb = ComboBox(
            label="values",
            choices=_VERBS,
            tooltip="For looking: well lit, from 0 to 1, and not linear. In counts: denoised, and "
            "left in the units of the image, for measuring.",
        )
        self._definitions = option_names()
        self.options = {
            name: option_control(name, option, preferred.options)
            for name, option in self._definitions.items()
            if option.label
        }
        self._rows: dict[str, Widget] = {
            name: resettable(control) if isinstance(control, FloatSlider) else control
            for name, control in self.options.items()
        }
        self.region, self.leave_out, self.all_planes = _region_choices(viewer)
        self.gain = _gain_map_choice(viewer, self.image)
        self.keep, self.results_folder = _keep_choices(preferred)
        self.method, self.seed = method_choice(), seed_choice()
        self.recipe, self.fit = RecipeEditor(RECIPES[str(self.model.resolved)]), FitForm()
        self._connect()

    def _connect(self) -> None:
        self._selection = self._viewer.layers.selection.events.changed
        self._selection.connect(self.update_visibility)
        self.model.changed.connect(self._on_model)
        self.look.changed.connect(self._on_look)
        self.axes.changed.connect(self.update_visibility)
        self.verb.changed.connect(self._on_verb)
        self.image.changed.connect(self._on_image)
        self.fit.edited.connect(self.update_visibility)
        for control in (self.region, self.leave_out, self.others, self.keep, self.method):
            control.changed.connect(self.update_visibility)
        self.image.changed.connect(self._check_models)
        for name in ("colors", "ndim"):
            self.options[name].changed.connect(self._check_models)
        for each in (self.model, *(self.options[name] for name in _LOOK_OPTIONS)):
            each.changed.connect(self._check_look)

    def rows(self, part: str) -> Iterator[Widget]:
        """Return the controls of a part of the form, from top to bottom."""
        instead: dict[str, list[Widget]] = {
            "mask": [self.region, self.leave_out, self.all_planes],
            "gain_map": [self.gain],
            "out": [self.keep, self.results_folder],
        }
        first: dict[str, list[Widget]] = {
            TOP: [self.image, self.others, self.look, self.model, self.verb],
            STACK: [self.axes],
        }
        yield from first.get(part, [])
        for name in self._definitions:
            if _PARTS.get(name, NOISE) == part:
                yield from instead.get(name, [self._rows[name]] if name in self._rows else [])

    @property
    def settings(self) -> Settings:
        """What is chosen."""
        verb, folder = self.verb.value, self.results_folder.value
        options = {
            name: option_value(option, self.options[name])
            for name, option in verb_options(verb).items()
            if name in self.options
        }
        look = LOOKS.get(self.look.value)
        if look is not None and verb == "enhance":
            options["gamma"] = look.gamma  # which has no control of its own
        return Settings(
            verb=verb,
            model=self.recipe.recipe if self.model.trains_first else self.model.value,
            axes=self.axes.value,
            options=options,
            region=self.region.value,
            leave_out=self.leave_out.value,
            all_planes=self.all_planes.value,
            gain_map=self.gain_map,
            seed=self.seed.value,
            keep=self.keep.value,
            results_folder=folder if isinstance(folder, Path) else None,
        )

    @property
    def source(self) -> LayerSnapshot:
        """The chosen image; raises a `ValueError` where there is none."""
        if self.image.value is None:
            raise InputError("", _NO_IMAGE)
        return LayerSnapshot.from_layer(self.image.value, self.axes.value)

    @property
    def sources(self) -> list[LayerSnapshot]:
        """The chosen image, and those that are enhanced with it; raises as `source` does."""
        return snapshot_layers([self.image.value, *self.others.images], self.source.axes)

    @property
    def gain_map(self) -> Image | None:
        """The layer of the gain map that the chosen model takes, if it takes one."""
        return self.gain.value if self.model.requires_gain_map else None

    @property
    def fits_with_gain(self) -> bool:
        """Whether a fit takes the gain map, too."""
        return self.fit.takes_gain(self.method.value)

    @property
    def samples(self) -> int:
        """How many samples a model for the chosen image sees together."""
        rgb = self.image.value is not None and self.image.value.rgb
        alone = self.options["colors"].value == "kept"
        alone |= self.model.is_denoiser and not self.model.fitted
        return 3 if rgb and not alone else 1

    def refresh(self) -> None:
        """Offer the layers that the viewer has now; a choice that is still offered stays."""
        for control in (self.image, self.region, self.leave_out, self.gain):
            _refresh_choices(control)

    def choose_active(self) -> None:
        """Choose the viewer's active layer, if it is an image, or the first selected one."""
        if images := selected_images(self._viewer.layers):
            self.image.value = images[0]

    def update_visibility(self) -> None:
        """Show the controls that matter for what is chosen, and hide the others."""
        image, model = self.image.value, self.model
        self.others.show_for(image)
        if not model.can_denoise:
            self.verb.value = "enhance"
        if model.fitted:
            self.options["colors"].value = "balanced"  # the only one that it can
        self.model.visible = self.look.value == OWN_LOOK
        self.verb.visible = model.can_denoise
        rgb = image is not None and any(each.rgb for each in (image, *self.others.images))
        learns = model.is_denoiser or self.method.value != "noise"
        stack = image is not None and image.ndim > 2
        deep = stack and any(letter in (self.axes.value or "") for letter in "TZ")
        needed = {
            "colors": rgb and not model.is_denoiser,
            "camera": learns,
            "repair": learns,
            "ndim": deep or self.options["ndim"].value != 2,
            "statistics": stack,
        }
        of_verb = verb_options(self.verb.value)
        for name, row in self._rows.items():
            row.visible = name in of_verb and needed.get(name, True)
        self.axes.visible = len(self.axes.choices) > 1
        self.gain.visible = model.requires_gain_map or self.fits_with_gain
        regions = any((self.region.value, self.leave_out.value))
        self.all_planes.visible = regions and stack
        self.results_folder.visible = self.keep.value == "disk"
        self.shown.emit()

    def on_close(self) -> None:
        """Disconnect from the viewer: the widget is closing."""
        self._selection.disconnect(self.update_visibility)
        self._watch(None)

    def offer_devices(self, names: Sequence[str]) -> None:
        """Offer the devices that work here; one that is chosen stays."""
        control = self.options["device"]
        chosen = control.value
        if isinstance(control, ComboBox):
            control.choices = tuple(dict.fromkeys([*names, chosen]))
            control.value = chosen

    def _on_image(self) -> None:
        if self.image.value is not self._watched:
            self._forget_last_image()
        self._guess_axes()
        self.update_visibility()
        _refresh_choices(self.gain)
        self._watch(self.image.value)

    def _forget_last_image(self) -> None:
        """Reset what was only true of the image chosen before."""
        model, image = self.model, self.image.value
        self.options["ndim"].value = model.value.ndim if model.own else 2
        shape = None if image is None else image.data.shape
        if self._shape not in (None, shape):
            for control in (self.region, self.leave_out, self.gain):
                control.value = None
            self.all_planes.value = False
        self._shape = shape

    def _watch(self, image: Image | None) -> None:
        """Offer the axes anew when this layer changes, and not when the last one does."""
        if self._watched is not None:
            self._watched.events.axis_labels.disconnect(self._guess_axes)
            self._watched.events.data.disconnect(self.axes.reset_choices)
        self._watched = image
        if image is not None:
            image.events.axis_labels.connect(self._guess_axes)
            image.events.data.connect(self.axes.reset_choices)

    def _guess_axes(self) -> None:
        self.axes.reset_choices()
        if self.axes.choices:
            self.axes.value = guess_axes(self.image.value)

    def _on_look(self) -> None:
        """Choose the model, background and colors of the look."""
        look = LOOKS.get(self.look.value)
        if look is not None:
            self._by_look = True
            try:
                self.model.value = look.model
                for name in _LOOK_OPTIONS:
                    self.options[name].value = getattr(look, name)
            finally:
                self._by_look = False
        self.update_visibility()

    def _check_look(self) -> None:
        """Say that what is chosen is no look any more, once a part of it is another."""
        look = LOOKS.get(self.look.value)
        if look is None or self._by_look:
            return
        chosen = [self.model.value, *(self.options[name].value for name in _LOOK_OPTIONS)]
        if chosen != [look.model, *(getattr(look, name) for name in _LOOK_OPTIONS)]:
            self.look.value = OWN_LOOK

    def _on_verb(self) -> None:
        before = self.model.recipe
        self._check_models()
        if self.model.recipe != before:
            self._on_model()  # "auto" is another one now
        else:
            self.update_visibility()

    def _on_model(self) -> None:
        recipe = self.model.recipe
        if isinstance(recipe, Recipe):
            self.recipe.show_recipe(recipe)
        elif isinstance(recipe, BlindSpotRecipe):
            self.fit.show_recipe(recipe)
        elif isinstance(recipe, IRLERecipe):
            self.fit.show_recipe(replace(recipe.denoiser, gain="light"))  # as stage 1 finds it
        self.method.value = self.model.method
        self.update_visibility()
        if self.model.own:
            self.options["ndim"].value = self.model.value.ndim

    def _check_models(self) -> None:
        """Say which models are there for the chosen image, and whether the recipe suits it."""
        ndim = self.options["ndim"].value
        self.model.show_for(self.samples, ndim, self.verb.value)
        self.recipe.check_for(self.samples, ndim)


def _refresh_choices(control: ComboBox) -> None:
    """Offer the layers that there are now; a choice that is still offered stays."""
    chosen = control.value
    with control.changed.blocked():  # a renamed layer is another choice at first
        control.reset_choices()
        if chosen in control.choices:
            control.value = chosen
    if control.value is not chosen:
        control.changed.emit(control.value)


def _image_choices(viewer: Viewer) -> tuple[ComboBox, ComboBox]:
    """Return the controls of the image and of `Settings.axes`."""

    def choices(box: object) -> list[Layer]:
        return [each for each in viewer.layers if isinstance(each, Image) and not is_preview(each)]

    image = ComboBox(
        label="image",
        choices=choices,
        tooltip="The image to enhance. It is never changed: the result is a new layer.",
    )
    axes = ComboBox(
        label="axes",
        choices=lambda box: (
            [(axes or "which is which?", axes) for axes in axes_choices(image.value)]
            if image.value
            else []
        ),
        tooltip="What each axis is: T time, C channel (a fluorophore), Z depth, Y and X the "
        "plane, S the red, green and blue of a color image. Correct it if it was guessed wrong.",
    )
    return image, axes


def _region_choices(viewer: Viewer) -> tuple[ComboBox, ComboBox, CheckBox]:
    """Return the controls of `Settings.region`, `leave_out` and `all_planes`."""

    def choices(none: str) -> list[tuple[str, Layer | None]]:
        marked = [each for each in viewer.layers if isinstance(each, (Labels, Shapes))]
        return [(none, None), *((each.name, each) for each in marked)]

    region = OptionalComboBox(
        label="statistics from",
        choices=lambda box: choices("whole image"),
        tooltip="What must be exposed well: a cell you painted (Labels) or outlined (Shapes), and "
        "not the glass around it. Everything is rendered; this part sets the brightness.",
    )
    leave_out = OptionalComboBox(
        label="leave out",
        choices=lambda box: choices("nothing"),
        tooltip="What must not count, such as saturated spots or the black borders of a stitched "
        "image: a Labels or Shapes layer that marks them.",
    )
    all_planes = CheckBox(
        text="regions hold on all planes",
        tooltip="A region on one plane, channel or time point holds on all of them. Needed where "
        "each of them has statistics of its own, as channels always have.",
    )
    return region, leave_out, all_planes


def _gain_map_choice(viewer: Viewer, image: ComboBox) -> ComboBox:
    """Return the control of `Settings.gain_map`: all other images but those of colors."""

    def choices(box: object) -> list[tuple[str, Layer | None]]:
        images = (each for each in viewer.layers if isinstance(each, Image) and not each.rgb)
        others = [each for each in images if each is not image.value and not is_preview(each)]
        return [("none", None), *((each.name, each) for each in others)]

    return OptionalComboBox(
        label="gain map",
        choices=choices,
        tooltip="How much each pixel would be amplified, known beforehand: to even out an "
        "illumination or a flat-field, say. An image of values above 0, of the shape of the "
        "image, of its last axes or of one plane. A model that was fitted with gain maps needs "
        "one for each image, and so does its fit. In the console: gain_map=",
    )


def _keep_choices(preferred: Settings) -> tuple[ComboBox, FileEdit]:
    """Return the controls of `Settings.keep` and `results_folder`."""
    keep = ComboBox(
        label="keep result",
        choices=_KEEP,
        value=preferred.keep,
        tooltip="In memory: at once, as long as it fits. Live: nothing is kept, what you look "
        "at is rendered when you look. On disk: an OME-Zarr file of any size, which fills in "
        "while you look.",
    )
    folder: Any = preferred.results_folder
    edit = FileEdit(
        label="folder",
        mode=FileDialogMode.EXISTING_DIRECTORY,
        nullable=True,
        value=Path(folder) if folder else None,
        tooltip="Where results on disk go. Apply goes on with an unfinished one that it finds "
        "there. The preferences can name a folder once and for all.",
    )
    edit.choose_btn.text = "…"
    edit.choose_btn.max_width = NARROW
    return keep, edit
