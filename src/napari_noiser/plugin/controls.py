"""What can be chosen in the widget: one control each, and what they say together."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from magicgui.widgets import (
    ComboBox,
    Container,
    FileEdit,
    FloatSlider,
    Label,
    PushButton,
    SpinBox,
    Widget,
)
from napari import Viewer
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy

from napari_noiser.plugin.region_controls import region_controls
from napari_noiser.plugin.settings import DEVICES, DTYPES, KEEPS, Settings
from napari_noiser.plugin.shown import is_preview
from napari_noiser.plugin.source import ImageSource, axes_choices, guess_axes
from napari_noiser.srm.recipe import RECIPES, Recipe

if TYPE_CHECKING:
    from napari_noiser.srm.model import Model

__all__ = ["Controls", "Note", "form", "resettable", "row"]

_LABEL_WIDTH = 105  # napari's font is wider than the one that magicgui measures labels in
_RENDER = [("planes (2-D)", 2), ("volumes (3-D)", 3)]
_EXPOSURE = [("whole series", "stack"), ("each time point", "volume"), ("each plane", "plane")]
_KEEP = list(zip(("in memory", "live, as you look", "on disk"), KEEPS, strict=True))
_NARROW = 28  # a button of one character
_NO_IMAGE = (
    "Open an image first (File > Open Sample > napari-noiser has dim ones). Points, labels, "
    "shapes and other layers have no brightness to enhance."
)


class Controls:
    """The controls, filled in from a viewer and napari's preferences.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose image layers are offered.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self.models: list[Model] = []
        preferred = Settings.preferred()
        self._make_choices(preferred)
        self.region, self.leave_out, self.all_planes = region_controls(viewer)
        self._make_keeping(preferred)
        self._make_sliders()
        self._make_training()
        self.model.changed.connect(self._on_model)
        self.image.changed.connect(self._on_image)
        self.keep.changed.connect(self.show_folder)
        for control in (self.image, self.region, self.leave_out):
            control.changed.connect(self.show_all_planes)
        self._on_model()

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
            "S the red, green and blue of a colour image. Correct it if it was guessed wrong.",
        )
        self.model = ComboBox(
            label="model",
            choices=self._model_choices,
            value=preferred.model,
            tooltip="What was learned from noise. noiser, noiser-es and noiser-var3 are ready to "
            "use; other recipes train first. Trained and loaded models follow below them.",
        )
        self.ndim = ComboBox(
            label="render",
            choices=_RENDER,
            tooltip="Each plane by its own neighbours, or whole volumes. Volumes take neighbours "
            "in z as near as those in the plane: choose planes if the step in z is large.",
        )
        self.statistics = ComboBox(
            label="one exposure",
            choices=_EXPOSURE,
            value=preferred.statistics,
            tooltip="What is brightened alike. Whole series: no flicker, and bleaching stays "
            "visible. Each plane: every plane comes out equally bright.",
        )
        self.dtype = ComboBox(
            label="result",
            choices=DTYPES,
            value=preferred.dtype,
            tooltip="float32 runs from 0 to 1. uint16 and uint8 take less room and open in Fiji.",
        )
        self.device = ComboBox(
            label="compute on",
            choices=DEVICES,
            value=preferred.device,
            tooltip="auto takes a graphics card that works, and otherwise the processor.",
        )

    def _make_keeping(self, preferred: Settings) -> None:
        self.keep = ComboBox(
            label="keep result",
            choices=_KEEP,
            value=preferred.keep,
            tooltip="In memory: at once, as long as it fits. Live: nothing is kept, what you look "
            "at is rendered when you look. On disk: an OME-Zarr file of any size, which fills in "
            "while you look.",
        )
        self.results_folder = FileEdit(
            label="folder",
            mode="d",
            nullable=True,
            value=preferred.results_folder,
            tooltip="Where results on disk go. Apply goes on with an unfinished one that it finds "
            "there. The preferences can name a folder once and for all.",
        )
        self.results_folder.choose_btn.text = "…"
        self.results_folder.choose_btn.max_width = _NARROW

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
        self.training_steps = SpinBox(
            label="training steps",
            min=1,
            max=100_000,
            tooltip="How long to learn. The recipe's own number is filled in.",
        )
        self.seed = SpinBox(
            label="seed",
            min=0,
            max=2**31 - 1,
            tooltip="Another seed, another noise, a slightly different model.",
        )

    @property
    def settings(self) -> Settings:
        """What the controls say, as the console would take it."""
        names = (field.name for field in fields(Settings))
        return Settings(**{name: getattr(self, name).value for name in names})

    @property
    def recipe(self) -> Recipe:
        """The chosen recipe, or the chosen model's."""
        chosen = self.model.value
        return RECIPES[chosen] if isinstance(chosen, str) else chosen.recipe

    @property
    def source(self) -> ImageSource:
        """The chosen image; raises a `ValueError` where there is none."""
        if self.image.value is None:
            raise ValueError(_NO_IMAGE)
        return ImageSource.of(self.image.value, self.axes.value)

    @property
    def samples(self) -> int:
        """How many samples a model for the chosen image sees together."""
        return 3 if self.image.value is not None and self.image.value.rgb else 1

    def refresh(self) -> None:
        """Offer the layers that the viewer has now; a choice that still stands is kept."""
        for control in (self.image, self.region, self.leave_out):
            chosen = control.value
            with control.changed.blocked():  # a renamed layer is another choice at first
                control.reset_choices()
                if chosen in control.choices:
                    control.value = chosen
            if control.value is not chosen:
                control.changed.emit(control.value)

    def choose_active(self) -> None:
        """Choose the viewer's active layer, if it is an image."""
        if isinstance(active := self._viewer.layers.selection.active, Image):
            self.image.value = active

    def add_model(self, model: Model) -> None:
        """Offer a trained or loaded model, and choose it."""
        self.models.append(model)
        self.model.reset_choices()
        self.model.value = model

    def _model_choices(self, box: object) -> list[tuple[str, str | Model]]:
        named = [(name, name) for name in RECIPES]
        return named + [
            (f"{each.name}, {each.channels} ch, {each.ndim}-D, {each.fingerprint[:6]}", each)
            for each in self.models
        ]

    def show_all_planes(self) -> None:
        """Show its control if there are regions, and planes that they might hold on."""
        image, regions = self.image.value, (self.region.value, self.leave_out.value)
        self.all_planes.visible = image is not None and image.ndim > 2 and any(regions)

    def show_folder(self) -> None:
        """Show the folder's control if results are kept on disk."""
        self.results_folder.visible = self.keep.value == "disk"

    def _on_image(self) -> None:
        self._guess_axes()
        if self.image.value is not None:
            self.image.value.events.axis_labels.connect(self._guess_axes)
            self.image.value.events.data.connect(self._offer_axes)

    def _offer_axes(self) -> None:
        self.axes.reset_choices()

    def _guess_axes(self) -> None:
        self._offer_axes()
        if self.axes.choices:
            self.axes.value = guess_axes(self.image.value)

    def _on_model(self) -> None:
        self.training_steps.value = self.recipe.iterations
        if not isinstance(self.model.value, str):
            self.ndim.value = self.model.value.ndim


def form(*widgets: Widget) -> Container:
    """Return widgets below each other, their labels in one column."""
    container = Container(widgets=widgets, label="")
    container.margins = (0, 0, 0, 0)
    for label in container.native.findChildren(QLabel):
        label.setMinimumWidth(_LABEL_WIDTH)
    return container


class Note(Label):
    """A text that breaks its lines where the dock ends, and takes no room while it is empty."""

    def __init__(self) -> None:
        super().__init__(value="", visible=False)
        self.native.setWordWrap(True)
        self.native.setTextFormat(Qt.TextFormat.PlainText)  # errors may hold anything
        self.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def say(self, text: str) -> None:
        """Show a text, or nothing."""
        self.value, self.visible = text, bool(text)


def row(*widgets: Widget) -> Container:
    """Return widgets side by side."""
    container = Container(widgets=widgets, layout="horizontal", labels=False, label="")
    container.margins = (0, 0, 0, 0)
    return container


def resettable(slider: FloatSlider) -> Container:
    """Return a slider beside a button that puts it back to where it is now."""
    start = slider.value
    button = PushButton(text="↺", tooltip=f"Back to {start:g}")
    button.max_width = _NARROW
    button.changed.connect(lambda: setattr(slider, "value", start))
    both = row(slider, button)
    both.label, both.tooltip = slider.label, slider.tooltip
    return both
