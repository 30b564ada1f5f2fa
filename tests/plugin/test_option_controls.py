"""The controls of options, as they stand in the dock: found by the labels of the definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from magicgui.widgets import CheckBox, FloatSlider, LineEdit
from napari.components import ViewerModel
from parts import labeled
from qtpy.QtWidgets import QAbstractButton, QLabel

from napari_noiser.engine import options
from napari_noiser.engine.options import DenoiseOptions, Option, verb_options
from napari_noiser.plugin.widgets.dock_widget import NoiserWidget
from napari_noiser.plugin.widgets.qt_helpers import OptionalComboBox
from napari_noiser.plugin.widgets.settings_form import (
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
    layers = {"image", "axes", "model", "result", "gain map", "keep result", "folder"}
    regions = {"statistics from", "leave out", "regions hold on all planes"}
    buttons = {"Apply", "Cancel", "Train", "Fit", "Load…", "Save…", "Rename…", "Remove"}
    sections = {"show what Apply would make", "Copy as Python", "Apply to image", "side by side"}
    training = {"method", "seed", "name", "training steps", "fitting steps", "network width"}
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
        if option.choices:
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
        shown = {name for name, each in controls.options.items() if each.native.isVisibleTo(None)}
        assert shown <= verb_options(verb).keys()
        assert set(controls.settings.options) <= verb_options(verb).keys()
    assert {"camera", "repair"} <= shown  # "auto" is a denoiser for light
    assert not controls.options["brightness"].visible


def test_auto_is_the_default_model_of_the_verb(widget: NoiserWidget) -> None:
    controls = widget.controls
    assert controls.settings.model == "auto"
    assert controls.recipe.recipe.name == "noiser"
    controls.verb.value = "denoise"
    assert controls.model.current_choice == "auto: structured (bundled)"
    assert controls.recipe.recipe.name == "structured"
    assert (controls.settings.model, controls.settings.verb) == ("auto", "denoise")
    controls.model.value = "noiser"
    assert controls.settings.verb == "enhance"


def test_one_click_makes_light(widget: NoiserWidget, viewer: ViewerModel, wait_for_run) -> None:
    viewer.add_image(np.random.default_rng(0).poisson(30, (64, 64)).astype("uint16"), name="dim")
    widget.controls.verb.value = "denoise"
    widget.apply.native.click()
    wait_for_run()
    made = viewer.layers["dim (structured)"].metadata["napari_noiser"]
    assert made["verb"] == "denoise"


def test_one_more_option_has_a_control(monkeypatch, opened, viewer: ViewerModel) -> None:
    monkeypatch.setitem(options._CLASSES, "denoise", MoreOptions)
    viewer.add_image(np.zeros((8, 8)))
    widget = opened()
    control = labeled(widget, "sharpen by")
    assert control.tooltip == "How much."
    widget.controls.verb.value = "denoise"
    assert control.visible
    control.value = "2.5"
    assert widget.controls.settings.options["sharpen"] == 2.5
    widget.controls.verb.value = "enhance"
    assert not control.visible
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
    assert controls.all_planes.visible
    controls.region.value = None
    assert not controls.all_planes.visible
    controls.options["camera"].changed.connect(seen.append)
    controls.options["camera"].value = None
    assert seen == [None]
