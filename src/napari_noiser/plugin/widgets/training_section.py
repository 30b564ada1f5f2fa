"""The section that trains or fits a model, and saves, loads, renames and removes models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from magicgui.widgets import PushButton
from napari import Viewer
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.destinations import file_name
from napari_noiser.plugin.tasks.errors import describe_error
from napari_noiser.plugin.tasks.generators import train_task
from napari_noiser.plugin.widgets.fit_panel import FitPanel, Start
from napari_noiser.plugin.widgets.qt_helpers import Column, Note, form, row
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_noiser.methods.base import Model

_FILES = "Models of napari-noiser (*.safetensors)"


class TrainingSection(Section):
    """Trains a model on noise or fits one to images, and edits the list of models."""

    title = "Models: train, fit, save and load"

    def __init__(self, viewer: Viewer, controls: SettingsForm, start: Start) -> None:
        super().__init__(viewer, controls)
        self._start = start
        self._task: BackgroundTask | None = None
        self._running = False
        self.train = PushButton(
            text="Train",
            tooltip="Train this recipe on noise, for the colors of the chosen image. No image is "
            "looked at. In the console: napari_noiser.train(recipe)",
        )
        self.state, self.message = Note(), Note()
        self.noise = Column(controls.recipe, self.train, self.state)
        self.fitting = FitPanel(controls, start)
        self._make_list_buttons()
        self.extend(
            [
                form(controls.method, controls.seed),
                self.noise,
                self.fitting,
                row(self.load, self.save),
                row(self.rename, self.remove_model),
                self.message,
            ]
        )
        self._connect()

    def _make_list_buttons(self) -> None:
        self.load = PushButton(
            text="Load…",
            tooltip="Read models from files, one or several at once. In the console: "
            "napari_noiser.load_model(path)",
        )
        self.save = PushButton(
            text="Save…",
            tooltip="Write the chosen model to a file, with its recipe and how it learned. In the "
            "console: model.save(path)",
        )
        self.rename = PushButton(
            text="Rename…",
            tooltip="Give the chosen model, made or loaded here, another name: its files and "
            "results will carry it. In the console: model.renamed(name)",
        )
        self.remove_model = PushButton(
            text="Remove",
            tooltip="Take the chosen model, made or loaded here, off the list. Its files and "
            "its results stay.",
        )

    def _connect(self) -> None:
        self.train.changed.connect(self.start_training)
        self.load.changed.connect(self._ask_load)
        self.save.changed.connect(self._ask_save)
        self.rename.changed.connect(self._ask_rename)
        self.remove_model.changed.connect(self.controls.model.remove_chosen)
        for signal in (self.controls.recipe.edited, self.controls.model.changed):
            signal.connect(self._show_state)
        self.controls.method.changed.connect(self._show_method)
        self._show_method()
        self._show_state()

    def start_training(self) -> None:
        """Train the recipe, for the chosen image's samples, in the background."""
        chosen = self.controls
        recipe, samples = chosen.recipe.recipe, chosen.samples
        ndim, device = (chosen.options[name].value for name in ("ndim", "device"))
        seed = chosen.seed.value

        def start() -> BackgroundTask:
            return BackgroundTask(
                f"Training {recipe.name}",
                lambda: train_task(recipe, samples, ndim, device, seed),
                chosen.model.add,
            )

        self._task = self._start(start)

    def load_models(self, paths: Iterable[str | PathLike[str]]) -> None:
        """Read models from files, and choose the last one; say which cannot be read."""
        from napari_noiser import load_model

        failures = []
        for path in paths:
            try:
                self.controls.model.add(load_model(path), Path(path).name)
            except (ValueError, OSError) as error:
                failures.append(describe_error(error))
        self.message.say("\n".join(failures))

    def save_model(self, path: str | PathLike[str]) -> None:
        """Write the chosen model, or the bundled one of the chosen name, to a file."""
        self.message.say(f"Saved {self._chosen_model().save(path)}")

    def on_unfold(self) -> None:
        """Make the recipe's controls."""
        self.controls.recipe.make_controls()

    def on_running(self, running: bool) -> None:
        """Enable Train and Fit unless a task runs."""
        self._running = running
        self.fitting.on_running(running)
        self._show_state()

    def on_leave(self) -> None:
        """Cancel training and fitting: the model could not be added to the list."""
        for task in (self._task, self.fitting.task):
            if task is not None:
                task.cancel()

    def on_close(self) -> None:
        """Cancel training and fitting: the widget is closing."""
        self.on_leave()

    def _show_method(self) -> None:
        method = self.controls.method.value
        self.noise.visible, self.fitting.visible = method == "noise", method != "noise"
        self.controls.fit.show_for(method)

    def _show_state(self) -> None:
        editor, chosen = self.controls.recipe, self.controls.model
        self.train.enabled = not (self._running or editor.faults)
        self.rename.enabled = self.remove_model.enabled = chosen.own
        if editor.faults:
            self.state.say("Not ready to train: see what is marked.")
        elif chosen.trains_first:
            self.state.say("Apply trains this recipe first.")
        elif editor.recipe != chosen.recipe:
            self.state.say(f"Edited. Until it is trained, Apply uses {chosen.current_choice}.")
        else:
            self.state.say("")

    def _chosen_model(self) -> Model:
        from napari_noiser import load_model

        chosen, ndim = self.controls.model.resolved, self.controls.options["ndim"].value
        if isinstance(chosen, str):
            return load_model(chosen, samples=self.controls.samples, ndim=ndim)
        return chosen

    def _ask_load(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self.native, "Load models", "", _FILES)
        self.load_models(paths)

    def _ask_save(self) -> None:
        if not self._try(self._chosen_model):
            return  # say so before asking for a name
        dialog = QFileDialog(self.native, "Save model", "", _FILES)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("safetensors")
        dialog.selectFile(f"{file_name(self.controls.model.recipe.name)}.safetensors")
        if dialog.exec():
            self._try(self.save_model, dialog.selectedFiles()[0])

    def _ask_rename(self) -> None:
        old = self.controls.model.recipe.name
        name, agreed = QInputDialog.getText(self.native, "Rename model", "Name", text=old)
        if agreed:
            self._try(self.controls.model.rename, name)

    def _try(self, action: Callable[..., object], *arguments: str) -> bool:
        self.message.say("")
        try:
            action(*arguments)
        except (TypeError, ValueError, OSError) as error:
            self.message.say(describe_error(error))
            return False
        return True
