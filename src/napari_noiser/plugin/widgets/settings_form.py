"""What can be chosen in the widget: one control each, and what they say together."""

from __future__ import annotations

from dataclasses import fields, replace

from magicgui.widgets import CheckBox, ComboBox, FileEdit, FloatSlider
from napari import Viewer
from napari.layers import Image, Labels, Layer, Shapes

from napari_noiser._errors import InputError
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
from napari_noiser.plugin.settings import DEVICES, DTYPES, KEEPS, Settings
from napari_noiser.plugin.widgets.fit_form import FitForm, method_choice, seed_choice
from napari_noiser.plugin.widgets.model_combobox import ModelComboBox
from napari_noiser.plugin.widgets.qt_helpers import NARROW
from napari_noiser.plugin.widgets.recipe_editor import RecipeEditor

__all__ = ["SettingsForm", "gain_choice", "keeping_controls", "refresh_choices", "region_controls"]


_OUTPUT = [("a display", "display"), ("light, denoised", "intensity")]
_BACKGROUND = [("gray, as it comes", "gray"), ("dark", "dark")]
_CAMERA = [("estimated, evened out", "auto"), ("not considered", "none")]
_COLORS = [("balanced (gray world)", "balanced"), ("kept", "kept")]
_RENDER = [("planes (2-D)", 2), ("volumes (3-D)", 3)]
_EXPOSURE = [("whole series", "stack"), ("each time point", "volume"), ("each plane", "plane")]
_NO_IMAGE = (
    "Open an image first (File > Open Sample > napari-noiser has dim ones). Points, labels, "
    "shapes and other layers have no brightness to enhance."
)


class SettingsForm:
    """The controls, filled in from a viewer and napari's preferences.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose image layers are offered.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._followed: Image | None = None
        preferred = Settings.from_preferences()
        self._make_choices(preferred)
        self.others = SelectedImagesNote(viewer)
        self._selected = viewer.layers.selection.events.changed
        self._selected.connect(self.show_selected)
        self.region, self.leave_out, self.all_planes = region_controls(viewer)
        self.gain = gain_choice(viewer, self.image)
        self.keep, self.results_folder = keeping_controls(preferred)
        self._make_sliders()
        self._make_training()
        self.model.changed.connect(self._on_model)
        self.image.changed.connect(self._on_image)
        self.keep.changed.connect(self.show_folder)
        for control in (self.image, self.region, self.leave_out):
            control.changed.connect(self.show_all_planes)
        self.others.changed.connect(self.show_selected)
        for control in (self.image, self.colors, self.ndim):
            control.changed.connect(self._on_form)

    def _make_choices(self, preferred: Settings) -> None:
        self.image = ComboBox(
            label="image",
            choices=lambda box: [
                each
                for each in self._viewer.layers
                if isinstance(each, Image) and not is_preview(each)
            ],
            tooltip="The image to enhance. It is never changed: the result is a new layer.",
        )
        self.axes = ComboBox(
            label="axes",
            choices=lambda box: axes_choices(self.image.value) if self.image.value else [],
            tooltip="What each axis is: T time, C channel (a dye), Z depth, Y and X the plane, "
            "S the red, green and blue of a color image. Correct it if it was guessed wrong.",
        )
        self.model = ModelComboBox(preferred.model)
        self.colors = ComboBox(
            label="colors",
            choices=_COLORS,
            tooltip="Balanced: a color cast is removed like a lack of light, so that the image "
            "is gray on average. Kept: red, green and blue are brightened alike: what is red "
            "stays red, as it should in a stained section.",
        )
        self.ndim = ComboBox(
            label="render",
            choices=_RENDER,
            tooltip="Each plane by its own neighbors, or whole volumes. Volumes take neighbors "
            "in z as near as those in the plane: choose planes if the step in z is large.",
        )
        self.statistics = ComboBox(
            label="one exposure",
            choices=_EXPOSURE,
            value=preferred.statistics,
            tooltip="What is brightened alike. Whole series: no flicker, and bleaching stays "
            "visible. Each plane: every plane comes out equally bright.",
        )
        self.output = ComboBox(
            label="result",
            choices=_OUTPUT,
            tooltip="A display is for looking: well lit, and not linear. Light is denoised and "
            "left in the units of the image, for a model that learned to see it through noise.",
        )
        self.background = ComboBox(
            label="background",
            choices=_BACKGROUND,
            tooltip="Gray: the mean comes out as mid-gray, and empty background not far below. "
            "Dark: the background is found and shown nearly black, and noise is not lifted: for "
            "cells on glass and stars on sky.",
        )
        self.camera = ComboBox(
            label="camera noise",
            choices=_CAMERA,
            tooltip="How noise grows with brightness is estimated from the image, and evened out "
            "before the network sees it: faint structure gains most. From the console a camera's "
            "own gain, offset and read noise can be given.",
        )
        self.repair = CheckBox(
            text="repair hot pixels and cosmic rays",
            value=True,
            tooltip="Single pixels and thin streaks that stand out, sharper than any lens draws, "
            "are replaced by their neighbors. Stars and spots stay. Takes the camera's noise.",
        )
        self.dtype = ComboBox(
            label="number type",
            choices=DTYPES,
            value=preferred.dtype,
            tooltip="Of the result. float32 runs from 0 to 1 in a display; uint16 and uint8 take "
            "less room and open in Fiji.",
        )
        self.device = ComboBox(
            label="compute on",
            choices=DEVICES,
            value=preferred.device,
            tooltip="auto takes a graphics card that works, and otherwise the processor.",
        )

    def _make_sliders(self) -> None:
        self.brightness = FloatSlider(
            label="brightness",
            value=0.0,
            min=-3,
            max=3,
            step=0.05,
            tooltip="Moves mid-gray up or down; 0 is neutral.",
        )
        self.contrast = FloatSlider(
            label="contrast",
            value=1.0,
            min=0.1,
            max=5,
            step=0.05,
            tooltip="Spreads the grays around the middle; 1 is what the network learned.",
        )

    def _make_training(self) -> None:
        self.method, self.seed = method_choice(), seed_choice()
        self.recipe, self.fit = RecipeEditor(RECIPES[self.model.value]), FitForm()
        self.method.changed.connect(self.show_output)
        self.fit.edited.connect(self.show_gain)

    @property
    def settings(self) -> Settings:
        """What the controls say, as the console would take it.

        Raises a `ValueError` if the chosen recipe is to be trained first, and edited wrongly.
        """
        others = {"camera", "gain", "max_change", "conserve"}
        names = {field.name for field in fields(Settings)} - others
        camera = None if self.camera.value == "none" else self.camera.value
        values = {name: getattr(self, name).value for name in names}
        chosen = Settings(camera=camera, gain_map=self.gain_map, **values)
        return replace(chosen, model=self.recipe.recipe) if self.model.trains_first else chosen

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
        color = self.image.value is not None and self.image.value.rgb
        alone = self.colors.value == "kept" or (self.model.is_denoiser and not self.model.fitted)
        return 3 if color and not alone else 1

    def refresh(self) -> None:
        """Offer the layers that the viewer has now; a choice that still stands is kept."""
        for control in (self.image, self.region, self.leave_out, self.gain):
            refresh_choices(control)

    def choose_active(self) -> None:
        """Choose the viewer's active layer, if it is an image, or the first selected one."""
        if images := selected_images(self._viewer.layers):
            self.image.value = images[0]

    def show_all_planes(self) -> None:
        """Show its control if there are regions, and planes that they might hold on."""
        image, regions = self.image.value, (self.region.value, self.leave_out.value)
        self.all_planes.visible = image is not None and image.ndim > 2 and any(regions)

    def show_folder(self) -> None:
        """Show the folder's control if results are kept on disk."""
        self.results_folder.visible = self.keep.value == "disk"

    def show_output(self) -> None:
        """Show what there is to choose for a model that sees light through noise, and its fit."""
        is_denoiser = self.model.is_denoiser
        self.output.visible = is_denoiser
        for control in (self.camera, self.repair):
            control.visible = is_denoiser or self.method.value != "noise"
        if not is_denoiser:
            self.output.value = "display"
        self.show_gain()

    def show_gain(self) -> None:
        """Show the choice of a gain map where one is needed: to apply a model, or to fit one."""
        self.gain.visible = self.model.requires_gain_map or self.fits_with_gain

    def show_selected(self) -> None:
        """Show the other images that are selected, and the choice of colors if there are some."""
        chosen = self.image.value
        self.others.show_for(chosen)
        images = [] if chosen is None else [chosen, *self.others.images]
        if self.model.fitted:
            self.colors.value = "balanced"  # it sees colors together, or each alone
        balanced = not self.model.is_denoiser  # or else there is nothing to choose
        self.colors.visible = balanced and any(each.rgb for each in images)

    def on_close(self) -> None:
        """Let go of the viewer: the widget is closing."""
        self._selected.disconnect(self.show_selected)
        self._follow(None)

    def _on_image(self) -> None:
        self.show_selected()
        self._guess_axes()
        refresh_choices(self.gain)
        self._follow(self.image.value)

    def _follow(self, image: Image | None) -> None:
        """Offer the axes anew when this layer changes; one chosen before has no say any more."""
        if self._followed is not None:
            self._followed.events.axis_labels.disconnect(self._guess_axes)
            self._followed.events.data.disconnect(self.axes.reset_choices)
        self._followed = image
        if image is not None:
            image.events.axis_labels.connect(self._guess_axes)
            image.events.data.connect(self.axes.reset_choices)

    def _guess_axes(self) -> None:
        self.axes.reset_choices()
        if self.axes.choices:
            self.axes.value = guess_axes(self.image.value)

    def _on_model(self) -> None:
        recipe = self.model.recipe
        if isinstance(recipe, Recipe):
            self.recipe.show_recipe(recipe)
        elif isinstance(recipe, BlindSpotRecipe):
            self.fit.show_recipe(recipe)
        elif isinstance(recipe, IRLERecipe):
            self.fit.show_recipe(replace(recipe.denoiser, gain="light"))  # as stage 1 finds it
        self.method.value = self.model.method
        self.show_output()
        self.show_selected()
        if self.model.own:
            self.ndim.value = self.model.value.ndim

    def _on_form(self) -> None:
        self.model.show_for(self.samples, self.ndim.value)
        self.recipe.check_for(self.samples, self.ndim.value)


def refresh_choices(control: ComboBox) -> None:
    """Offer the layers that there are now; a choice that still stands is kept."""
    chosen = control.value
    with control.changed.blocked():  # a renamed layer is another choice at first
        control.reset_choices()
        if chosen in control.choices:
            control.value = chosen
    if control.value is not chosen:
        control.changed.emit(control.value)


def gain_choice(viewer: Viewer, image: ComboBox) -> ComboBox:
    """Return what `Settings` calls gain.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose images are offered, but for those of colors.
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


_KEEP = list(zip(("in memory", "live, as you look", "on disk"), KEEPS, strict=True))


def keeping_controls(preferred: Settings) -> tuple[ComboBox, FileEdit]:
    """Return what `Settings` calls keep and results_folder.

    Parameters
    ----------
    preferred : Settings
        What they say at first.
    """
    keep = ComboBox(
        label="keep result",
        choices=_KEEP,
        value=preferred.keep,
        tooltip="In memory: at once, as long as it fits. Live: nothing is kept, what you look "
        "at is rendered when you look. On disk: an OME-Zarr file of any size, which fills in "
        "while you look.",
    )
    folder = FileEdit(
        label="folder",
        mode="d",
        nullable=True,
        value=preferred.results_folder,
        tooltip="Where results on disk go. Apply goes on with an unfinished one that it finds "
        "there. The preferences can name a folder once and for all.",
    )
    folder.choose_btn.text = "…"
    folder.choose_btn.max_width = NARROW
    return keep, folder


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
