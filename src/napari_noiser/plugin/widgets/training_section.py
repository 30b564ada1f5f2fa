"""The section that trains or fits a model, and saves, loads, renames and removes models."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from magicgui.widgets import Container, PushButton
from napari import Viewer
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_noiser._progress import Event
from napari_noiser.plugin.tasks.background_task import BackgroundTask
from napari_noiser.plugin.tasks.destinations import file_name
from napari_noiser.plugin.tasks.fit import FitPanel
from napari_noiser.plugin.tasks.generators import train_task
from napari_noiser.plugin.widgets.qt_helpers import Note, form, row
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

if TYPE_CHECKING:
    from napari_noiser.methods.registry import AnyModel

__all__ = ["Start", "TrainingSection"]

Start = Callable[[Callable[..., BackgroundTask]], BackgroundTask | None]
"""Starts work whose progress, end and cancel the widget shows; None if it could not."""

_TELLING = 5.0  # seconds of training after which its speed is known
_SHORT = 60.0  # seconds that nobody need be told about
_FILES = "Models of napari-noiser (*.safetensors)"


class TrainingSection(Section):
    """Learns a model, from noise or from images, and keeps the list of models.

    Parameters
    ----------
    viewer : napari.Viewer
        In which it is.
    controls : Controls
        What is chosen above it.
    start : callable
        Starts work; see `Start`.
    """

    title = "Train, save and load models"

    def __init__(self, viewer: Viewer, controls: SettingsForm, start: Start) -> None:
        super().__init__(viewer, controls)
        self._start = start
        self._run: BackgroundTask | None = None
        self._running = False
        self._begun: tuple[float, int] | None = None  # when a step was first seen, and which one
        self.train = PushButton(
            text="Train",
            tooltip="Train this recipe on noise, for the colors of the chosen image. No image is "
            "looked at. In the console: napari_noiser.train(recipe)",
        )
        self.state, self.said = Note(), Note()
        self.noise = Container(
            widgets=[controls.recipe, self.train, self.state], label="", labels=False
        )
        self.noise.margins = (0, 0, 0, 0)
        self.fitting = FitPanel(controls, start)
        self._make_list_buttons()
        self.extend(
            [
                form(controls.method, controls.seed),
                self.noise,
                self.fitting,
                row(self.load, self.save),
                row(self.rename, self.remove),
                self.said,
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
        self.remove = PushButton(
            text="Remove",
            tooltip="Take the chosen model, made or loaded here, off the list. Its files and "
            "its results stay.",
        )

    def _connect(self) -> None:
        self.train.changed.connect(self.start_training)
        self.load.changed.connect(self._ask_load)
        self.save.changed.connect(self._ask_save)
        self.rename.changed.connect(self._ask_rename)
        self.remove.changed.connect(self.controls.model.remove)
        for signal in (self.controls.recipe.edited, self.controls.model.changed):
            signal.connect(self._show_state)
        self.controls.method.changed.connect(self._show_method)
        self._show_method()
        self._show_state()

    def start_training(self) -> None:
        """Train the recipe, for the chosen image's samples, in the background."""
        chosen = self.controls
        recipe, samples = chosen.recipe.recipe, chosen.samples
        ndim, device, seed = chosen.ndim.value, chosen.device.value, chosen.seed.value

        def start(**slots: Callable[..., object]) -> BackgroundTask:
            return BackgroundTask(
                f"Training {recipe.name}",
                lambda: train_task(recipe, samples, ndim, device, seed),
                chosen.model.add,
                **slots,
            )

        self._run = self._start(start)

    def load_models(self, paths: Iterable[str | PathLike[str]]) -> None:
        """Read models from files, and choose the last one; what cannot be read is said."""
        from napari_noiser import load_model

        wrong = []
        for path in paths:
            try:
                self.controls.model.add(load_model(path), Path(path).name)
            except (ValueError, OSError) as error:
                wrong.append(str(error))
        self.said.say("\n".join(wrong))

    def save_model(self, path: str | PathLike[str]) -> None:
        """Write the chosen model, or the bundled one that a name stands for here, to a file."""
        self.said.say(f"Saved {self._chosen_model().save(path)}")

    def on_running(self, running: bool) -> None:
        """Do not offer to train or fit while other work runs."""
        self._running = running
        self._begun = None
        self.fitting.on_running(running)
        self._show_state()

    def on_event(self, event: Event) -> None:
        """Say for how long it will go on to train, as soon as that can be told."""
        if not event.stage.endswith("train"):
            return
        if self._begun is None or event.done < self._begun[1]:  # the next model
            self._begun = monotonic(), event.done
        since, before = self._begun
        spent = monotonic() - since
        left = spent / max(event.done - before, 1) * (event.total - event.done)
        if spent > _TELLING:
            self.state.say(f"It will train for {_told(left)} more." if left > _SHORT else "")

    def on_leave(self) -> None:
        """Stop training and fitting: nobody could take the model."""
        for run in (self._run, self.fitting.run):
            if run is not None:
                run.cancel()

    def on_close(self) -> None:
        """Stop likewise: the widget is closing."""
        self.on_leave()

    def _show_method(self) -> None:
        method = self.controls.method.value
        self.noise.visible, self.fitting.visible = method == "noise", method != "noise"
        self.controls.fit.show_for(method)

    def _show_state(self) -> None:
        editor, chosen = self.controls.recipe, self.controls.model
        self.train.enabled = not (self._running or editor.faults)
        self.rename.enabled = self.remove.enabled = chosen.own
        if editor.faults:
            self.state.say("Not ready to train: see what is marked.")
        elif chosen.trains_first:
            self.state.say("Apply trains this recipe first.")
        elif editor.recipe != chosen.recipe:
            self.state.say(f"Edited. Until it is trained, Apply uses {chosen.current_choice}.")
        else:
            self.state.say("")

    def _chosen_model(self) -> AnyModel:
        from napari_noiser import load_model

        chosen, ndim = self.controls.model.value, self.controls.ndim.value
        if isinstance(chosen, str):
            return load_model(chosen, samples=self.controls.samples, ndim=ndim)
        return chosen

    def _ask_load(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self.native, "Load models", "", _FILES)
        self.load_models(paths)

    def _ask_save(self) -> None:
        if not self._try(self._chosen_model):
            return  # what cannot be saved is said before a name is asked
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

    def _try(self, act: Callable[..., object], *arguments: str) -> bool:
        self.said.say("")
        try:
            act(*arguments)
        except (TypeError, ValueError, OSError) as error:
            self.said.say(str(error))
            return False
        return True


def _told(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
