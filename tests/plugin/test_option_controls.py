"""The controls of options, as they stand in the dock: found by the labels of the definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from magicgui.widgets import CheckBox, FloatSlider, LineEdit
from napari.components import ViewerModel
from napari.layers import Image
from parts import is_there, labeled, part_of
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollBar,
)
from superqt import QCollapsible

from napari_noiser.engine import options
from napari_noiser.engine.options import DenoiseOptions, Option, verb_options
from napari_noiser.plugin.settings import LOOKS, Settings
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.model_combobox import OWN_LOOK
from napari_noiser.plugin.widgets.qt_helpers import OptionalComboBox
from napari_noiser.plugin.widgets.section import OptionsSection
from napari_noiser.plugin.widgets.settings_form import (
    STACK,
    option_control,
    option_names,
    option_value,
)

SHARPEN = Option(2.0, "float", "", help="how much", parse=float, label="sharpen by")


class MoreOptions(DenoiseOptions, total=False):
    """The options of light, and one that nobody has written a control for."""

    sharpen: Annotated[float, SHARPEN]


def seen(widget: NoiserWidget) -> set[str]:
    """Return all labels and button texts in the dock, also of what is folded or hidden."""
    found: set[str] = set()
    for kind in (QLabel, QAbstractButton):
        found |= {each.text() for each in widget.native.findChildren(kind)}
    return found


def test_every_control_is_in_the_dock(widget: NoiserWidget) -> None:
    every = {option.label for option in option_names().values() if option.label}
    layers = {"image", "axes", "look", "model", "values", "gain map", "keep result", "folder"}
    regions = {"statistics from", "leave out", "regions hold on all planes"}
    buttons = {"Apply", "Cancel", "Train", "Fit", "Load…", "Save…", "Rename…", "Remove"}
    sections = {"preview, before | after", "Copy as Python", "Apply to image", "side by side"}
    training = {"method", "seed", "name", "training steps", "fitting steps", "network width"}
    widget.training.on_unfold()  # which makes those of a recipe
    for expected in (every, layers, regions, buttons, sections, training):
        assert expected <= seen(widget)


def test_a_label_choices_and_help_are_those_of_the_definition(widget: NoiserWidget) -> None:
    for name, option in option_names().items():
        if not option.label:
            assert name not in widget.controls.options
            continue
        control = labeled(widget, option.label)
        assert control is widget.controls.options[name]
        assert control.tooltip[1:] == f"{option.help[1:]}."
        if option.choices and name != "device":  # of which those are offered that work here
            assert control.choices == option.choices
            words = [control.native.itemText(at) for at in range(control.native.count())]
            assert words == list(option.words or option.choices)


def test_the_guide_calls_every_option_by_its_label() -> None:
    page = (Path(__file__).parents[2] / "docs" / "widget.md").read_text(encoding="utf-8")
    for option in option_names().values():
        assert f"**{option.label}**" in page or not option.label


def test_options_of_a_verb_are_shown_for_it_only(widget: NoiserWidget) -> None:
    controls = widget.controls
    for verb in ("enhance", "denoise"):
        controls.verb.value = verb
        shown = {name for name, each in controls.options.items() if is_there(each)}
        assert shown <= verb_options(verb).keys()
        assert set(controls.settings.options) <= verb_options(verb).keys()
    assert {"camera", "repair"} <= shown  # "auto" is a denoiser for light
    assert not is_there(controls.options["brightness"])


def test_a_look_chooses_model_background_and_colors(widget: NoiserWidget) -> None:
    controls = widget.controls
    assert (controls.look.value, controls.settings.model) == ("auto", "auto")
    assert not is_there(controls.model)
    for name, look in LOOKS.items():
        controls.look.value = name
        expected = Settings().with_look(name)
        assert controls.settings.model == expected.model == look.model
        for option in ("background", "colors", "gamma"):
            assert controls.settings.options[option] == expected.options[option]
        assert not is_there(controls.model)
        assert is_there(controls.verb) == (look.model != "noiser-var3")
    controls.look.value = "stars"
    controls.options["background"].value = "gray"
    assert controls.look.value == OWN_LOOK  # it is no look any more
    assert is_there(controls.model)
    controls.look.value = "photograph"
    assert not is_there(controls.model)
    controls.model.value = "noiser"
    assert (controls.look.value, controls.settings.model) == (OWN_LOOK, "noiser")
    assert controls.settings.options["background"] == "gray"


def test_seven_controls_at_most_are_seen_before_the_first_fold(
    widget: NoiserWidget, viewer: ViewerModel
) -> None:
    kinds = (QComboBox, QAbstractSlider, QCheckBox, QLineEdit, QPushButton)
    top = widget.preview.native.parentWidget()
    for image, rgb in ((np.zeros((9, 8, 8)), False), (np.zeros((8, 8, 3)), True)):
        widget.controls.image.value = viewer.add_image(image, rgb=rgb)
        for look in (*LOOKS, OWN_LOOK):
            widget.controls.look.value = look
            seen = [
                each
                for kind in kinds
                for each in top.findChildren(kind)
                if each.isVisible() and not isinstance(each, QScrollBar)
                if not isinstance(each.parentWidget(), (QCollapsible, QAbstractSpinBox))
            ]
            resets = [each for each in seen if getattr(each, "text", str)() == "↺"]
            assert 5 <= len(seen) - len(resets) <= 7
    assert widget.apply.native.isVisible()


def test_what_an_image_is_taken_for_is_said_and_can_be_changed(
    widget: NoiserWidget, viewer: ViewerModel, dim_stack: Image
) -> None:
    controls, said = widget.controls, widget.about.taken_for
    viewer.add_image(np.zeros((8, 8)), name="plane")
    assert said.value == "one plane"
    cases = [
        (np.zeros((30, 8, 8)), {}, "30 planes: depth or time?"),
        (np.zeros((64, 64, 3)), {"rgb": False}, "64 planes of 64 x 3 pixels, or 3 channels?"),
        (np.zeros((5, 3, 2, 8, 8)), {}, "5 time points of 3 channels of 2 planes, TCZYX"),
        (np.zeros((1, 8, 8)), {"axis_labels": ("t", "y", "x")}, "1 time point, TYX"),
    ]
    for values, named, expected in cases:
        controls.image.value = viewer.add_image(values, **named)
        assert said.value.startswith(expected)
        assert "change" in said.value
    controls.image.value = viewer.add_image(np.zeros((8, 8, 3)), rgb=True)
    assert said.value == "one color image"
    controls.image.value = viewer.layers[1]
    stack = part_of(widget, OptionsSection, STACK)
    assert not stack.unfolded
    said.native.linkActivated.emit("#")
    assert stack.unfolded
    controls.axes.value = "TYX"
    assert said.value.startswith("30 time points, TYX")


def test_what_means_nothing_for_an_image_is_not_there(
    widget: NoiserWidget, viewer: ViewerModel
) -> None:
    controls = widget.controls
    viewer.add_image(np.zeros((8, 8)), name="plane")
    controls.look.value = "brighten"
    several = [controls.axes, *(controls.options[name] for name in ("ndim", "statistics"))]
    assert not any(map(is_there, (*several, controls.options["colors"])))
    assert part_of(widget, OptionsSection, STACK).needed is False
    controls.image.value = viewer.add_image(np.zeros((3, 8, 8)))
    assert all(map(is_there, several))
    controls.axes.value = "CYX"
    assert not is_there(controls.options["ndim"])
    controls.image.value = viewer.add_image(np.zeros((8, 8, 3)), rgb=True)
    assert is_there(controls.options["colors"])


def test_one_click_makes_light(widget: NoiserWidget, viewer: ViewerModel, wait_for_run) -> None:
    viewer.add_image(np.random.default_rng(0).poisson(30, (64, 64)).astype("uint16"), name="dim")
    widget.controls.verb.value = "denoise"
    widget.apply.native.click()
    wait_for_run()
    made = viewer.layers["dim (counts)"].metadata["napari_noiser"]
    assert made["verb"] == "denoise"


def test_one_more_option_has_a_control(monkeypatch, opened, viewer: ViewerModel) -> None:
    monkeypatch.setitem(options._CLASSES, "denoise", MoreOptions)
    viewer.add_image(np.zeros((8, 8)))
    widget = opened()
    control = labeled(widget, "sharpen by")
    assert control.tooltip == "How much."
    widget.controls.verb.value = "denoise"
    assert is_there(control)
    control.value = "2.5"
    assert widget.controls.settings.options["sharpen"] == 2.5
    widget.controls.verb.value = "enhance"
    assert not is_there(control)
    assert "sharpen" not in widget.controls.settings.options


@pytest.mark.parametrize(
    ("option", "kind", "value"),
    [
        (Option(True, "bool", "", label="it"), CheckBox, True),
        (Option("b", "str", "", label="it", choices=("a", "b")), OptionalComboBox, "b"),
        (Option(None, "str", "", label="it", choices=("a", "b")), OptionalComboBox, "a"),
        (Option(None, "float, optional", "", label="it", parse=float), LineEdit, None),
        (Option(3, "int", "", label="it", parse=int), LineEdit, 3),
    ],
)
def test_the_control_suits_the_option(option: Option, kind: type, value: Any, qapp) -> None:
    control = option_control("it", option, {})
    assert type(control) is kind
    assert option_value(option, control) == value


def test_preferences_come_first(qapp) -> None:
    option = Option("a", "str", "", label="it", choices=("a", "b"))
    assert option_control("it", option, {"it": "b"}).value == "b"
    slider = option_control("contrast", verb_options("enhance")["contrast"], {"contrast": 2.0})
    assert isinstance(slider, FloatSlider)
    assert slider.value == 2.0


def test_none_is_announced_as_any_other_choice(widget: NoiserWidget, viewer: ViewerModel) -> None:
    controls, seen = widget.controls, []
    labels = viewer.add_labels(np.ones((3, 8, 8), int))
    viewer.add_image(np.zeros((3, 8, 8)))
    controls.region.value = labels
    assert is_there(controls.all_planes)
    controls.region.value = None
    assert not is_there(controls.all_planes)
    controls.options["camera"].changed.connect(seen.append)
    controls.options["camera"].value = None
    assert seen == [None]
