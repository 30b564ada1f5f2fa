"""The controls that edit a recipe, and below each what is wrong with it."""

from __future__ import annotations

from magicgui.widgets import ComboBox, LineEdit, Widget
from psygnal import Signal
from qtpy.QtWidgets import QLineEdit, QStyle
from superqt import QCollapsible

from napari_noiser._errors import InputError
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.plugin.widgets.qt_helpers import Column, Note, foldable, form
from napari_noiser.plugin.widgets.recipe_fields import (
    RecipeField,
    from_text,
    recipe_fields,
    to_text,
    validate,
)

_FIRST = ("name", "iterations")


class RecipeEditor(Column):
    """A form of all fields of a recipe, whose controls are made when they are first needed.

    They would take most of the time in which the widget opens, and few ever unfold them.
    """

    edited = Signal()

    def __init__(self, recipe: Recipe) -> None:
        self.faults: dict[str, str] = {}
        self._form = (1, 2)
        self._shown = recipe
        self._editors: dict[RecipeField, LineEdit | ComboBox] = {}
        self._notes: dict[RecipeField, Note] = {}
        super().__init__(
            tooltip="What the network learns from, and how. In the console: "
            "napari_noiser.recipes.Recipe",
        )
        self._validate()

    def make_controls(self) -> None:
        """Make the controls, unless they are there."""
        if self._editors:
            return
        self._editors = {field: _editor(field) for field in recipe_fields()}
        self._notes = {field: Note() for field in self._editors}
        first = [field for field in self._editors if field.name in _FIRST]
        rest = [field for field in self._editors if field not in first]
        self.append(form(*self._rows(first)))
        self._rest = form(*self._rows(rest))
        self._folded_names = {field.name for field in rest}
        self._all_numbers = foldable("All numbers of the recipe", self._rest.native)
        self.native.layout().addWidget(self._all_numbers)
        for editor in self._editors.values():
            editor.changed.connect(self._validate)
        self.show_recipe(self._shown)

    @property
    def recipe(self) -> Recipe:
        """The recipe as edited; raises a `ValueError` where something is wrong with it."""
        if self.faults:
            raise InputError("", "; ".join(self.faults.values()))
        return from_text(self._texts)

    @property
    def fields(self) -> dict[str, LineEdit | ComboBox]:
        """The controls of the fields that the recipe has, by name: "width", "source.mean"."""
        self.make_controls()
        return {field.name: self._editors[field] for field in self._present}

    @property
    def notes(self) -> dict[str, Note]:
        """The notes below them."""
        self.make_controls()
        return {field.name: self._notes[field] for field in self._present}

    @property
    def all_numbers(self) -> QCollapsible:
        """What folds all of them but the first."""
        self.make_controls()
        return self._all_numbers

    def show_recipe(self, recipe: Recipe) -> None:
        """Show a recipe's values."""
        self._shown, texts = recipe, to_text(recipe)
        for field, editor in self._editors.items():
            if field.applies_to(texts):
                with editor.changed.blocked():
                    editor.value = texts[field.name]
        self._validate()

    def check_for(self, samples: int, ndim: int) -> None:
        """Validate the recipe for training on images of so many samples and dimensions."""
        self._form = (samples, ndim)
        self._validate()

    @property
    def _present(self) -> list[RecipeField]:
        """The fields that the recipe has: those of its kind of source and of exposure."""
        kinds = {field.name: each.value for field, each in self._editors.items() if field.choices}
        return [field for field in self._editors if field.applies_to(kinds)]

    @property
    def _texts(self) -> dict[str, str]:
        if not self._editors:
            return to_text(self._shown)
        return {name: editor.value for name, editor in self.fields.items()}

    def _validate(self) -> None:
        self.faults = validate(self._texts, self._form)
        if self._editors:
            self._show_faults()
        self.edited.emit()

    def _show_faults(self) -> None:
        """Say below each field what is wrong with it, if anything."""
        present = self._present
        for field, editor in self._editors.items():
            editor.visible = field in present
            fault = self.faults.get(field.name, "") if field in present else ""
            self._notes[field].say(fault)
            for action in editor.native.actions():  # the warning sign
                action.setVisible(bool(fault))
        if self._folded_names & self.faults.keys():
            self._all_numbers.expand(animate=False)

    def _rows(self, fields: list[RecipeField]) -> list[Widget]:
        return [each for field in fields for each in (self._editors[field], self._notes[field])]


def _editor(field: RecipeField) -> LineEdit | ComboBox:
    if field.choices:
        return ComboBox(label=field.label, choices=field.choices, tooltip=field.help)
    editor = LineEdit(label=field.label, value=field.default, tooltip=field.help)
    line = editor.native
    icon = line.style().standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning)
    line.addAction(icon, QLineEdit.ActionPosition.TrailingPosition)
    return editor
