"""The controls that edit a recipe: an entry a field, and beneath it what is wrong with it."""

from __future__ import annotations

from magicgui.widgets import ComboBox, Container, LineEdit, Widget
from psygnal import Signal
from qtpy.QtWidgets import QLineEdit, QStyle

from napari_noiser._errors import InputError
from napari_noiser.methods.noiser.recipe import Recipe
from napari_noiser.plugin.widgets.qt_helpers import Note, foldable, form
from napari_noiser.plugin.widgets.recipe_fields import Entry, entries, from_text, to_text, validate

__all__ = ["RecipeEditor"]

_FIRST = ("name", "iterations")


class RecipeEditor(Container):
    """A recipe that can be changed in every field; the recipe itself says what is wrong.

    Parameters
    ----------
    recipe : Recipe
        To begin with.
    """

    edited = Signal()

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(
            labels=False,
            label="",
            tooltip="What the network learns from, and how. In the console: "
            "napari_noiser.recipes.Recipe",
        )
        self.margins = (0, 0, 0, 0)
        self.faults: dict[str, str] = {}
        self._form = (1, 2)
        self._editors = {entry: _editor(entry) for entry in entries()}
        self._notes = {entry: Note() for entry in self._editors}
        first = [entry for entry in self._editors if entry.name in _FIRST]
        rest = [entry for entry in self._editors if entry not in first]
        self.append(form(*self._lines(first)))
        self._rest = form(*self._lines(rest))
        self._folded_names = {entry.name for entry in rest}
        self.all_numbers = foldable("All numbers of the recipe", self._rest.native)
        self.native.layout().addWidget(self.all_numbers)
        for editor in self._editors.values():
            editor.changed.connect(self._check)
        self.show_recipe(recipe)

    @property
    def recipe(self) -> Recipe:
        """What is written; raises a `ValueError` where something is wrong with it."""
        if self.faults:
            raise InputError("", "; ".join(self.faults.values()))
        return from_text(self._texts)

    @property
    def fields(self) -> dict[str, LineEdit | ComboBox]:
        """The entries of the fields that the recipe has, by name: "width", "source.mean"."""
        return {entry.name: self._editors[entry] for entry in self._standing}

    @property
    def notes(self) -> dict[str, Note]:
        """What is said beneath each of them."""
        return {entry.name: self._notes[entry] for entry in self._standing}

    def show_recipe(self, recipe: Recipe) -> None:
        """Write a recipe into the fields."""
        texts = to_text(recipe)
        for entry, editor in self._editors.items():
            if entry.stands_in(texts):
                with editor.changed.blocked():
                    editor.value = texts[entry.name]
        self._check()

    def check_for(self, samples: int, ndim: int) -> None:
        """Check it for training on images of so many samples."""
        self._form = (samples, ndim)
        self._check()

    @property
    def _standing(self) -> list[Entry]:
        kinds = {entry.name: each.value for entry, each in self._editors.items() if entry.choices}
        return [entry for entry in self._editors if entry.stands_in(kinds)]

    @property
    def _texts(self) -> dict[str, str]:
        return {name: editor.value for name, editor in self.fields.items()}

    def _check(self) -> None:
        """Say beneath each field what is wrong with it, if anything."""
        self.faults = validate(self._texts, self._form)
        standing = self._standing
        for entry, editor in self._editors.items():
            editor.visible = entry in standing
            fault = self.faults.get(entry.name, "") if entry in standing else ""
            self._notes[entry].say(fault)
            _mark(editor, bool(fault))
        if self._folded_names & self.faults.keys():
            self.all_numbers.expand(animate=False)
        self.edited.emit()

    def _lines(self, shown: list[Entry]) -> list[Widget]:
        return [each for entry in shown for each in (self._editors[entry], self._notes[entry])]


def _editor(entry: Entry) -> LineEdit | ComboBox:
    if entry.choices:
        return ComboBox(label=entry.label, choices=entry.choices, tooltip=entry.says)
    editor = LineEdit(label=entry.label, value=entry.default, tooltip=entry.says)
    line = editor.native
    icon = line.style().standardIcon(QStyle.StandardPixmap.SP_MessageBoxWarning)
    line.addAction(icon, QLineEdit.ActionPosition.TrailingPosition)
    return editor


def _mark(editor: LineEdit | ComboBox, wrong: bool) -> None:
    for action in editor.native.actions():
        action.setVisible(wrong)
