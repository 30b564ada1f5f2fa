"""The dock widget: buttons that start what the console can do as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

import napari
from magicgui.widgets import Container, Label, PushButton
from qtpy.QtWidgets import QFileDialog, QSizePolicy

from napari_noiser.plugin.controls import Controls, form, resettable, row
from napari_noiser.plugin.enhancing import start_enhancing
from napari_noiser.plugin.jobs import train_job
from napari_noiser.plugin.keeping import Enhanced
from napari_noiser.plugin.remarks import Remarks
from napari_noiser.plugin.sections import make_sections, scrolled
from napari_noiser.plugin.worker import Busy, Run
from napari_noiser.progress import Event

if TYPE_CHECKING:
    from napari_noiser.srm.model import Model

__all__ = ["NoiserWidget"]

_FILES = "Models of napari-noiser (*.safetensors)"


class NoiserWidget(Container):
    """Train on noise, and enhance an image layer.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose image layers are offered, and which gets the results.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._run: Run | None = None
        self._training: Run | None = None
        self._open = True
        self.controls = controls = Controls(viewer)
        self.apply = PushButton(
            text="Apply",
            tooltip="Make the enhanced layer. Its lower contrast limit is set at the background, "
            "which would otherwise be mid-gray and look like fog; the values stay as they are.",
        )
        self.cancel = PushButton(
            text="Cancel",
            enabled=False,
            tooltip="Stop now; no half-done layer stays behind. Of a result on disk, what is "
            "finished is kept: Apply goes on with it.",
        )
        self.train = PushButton(
            text="Train", tooltip="Train the chosen recipe on noise. No image is looked at."
        )
        self.save = PushButton(text="Save…", tooltip="Write the chosen model to a file.")
        self.load = PushButton(text="Load…", tooltip="Read a model from a file.")
        self.status = Label(value="")
        self.remarks = Remarks(viewer, controls)
        super().__init__(
            labels=False,
            widgets=[
                form(
                    controls.image,
                    controls.axes,
                    controls.model,
                    controls.ndim,
                    controls.statistics,
                    controls.region,
                    controls.leave_out,
                    controls.all_planes,
                    resettable(controls.brightness),
                    resettable(controls.contrast),
                    controls.dtype,
                    controls.device,
                    controls.keep,
                    controls.results_folder,
                ),
                row(self.apply, self.cancel),
                form(controls.training_steps, controls.seed),
                row(self.train, self.save, self.load),
                self.status,
                self.remarks,
            ],
        )
        self.status.native.setWordWrap(True)
        self.status.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.sections = list(make_sections(viewer, controls))
        self.native.layout().addWidget(scrolled(self.sections), 1)
        self._connect()

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self._on_layers)
        self.apply.changed.connect(self.start_apply)
        self.cancel.changed.connect(self.stop)
        self.train.changed.connect(self.start_training)
        self.save.changed.connect(self._ask_save)
        self.load.changed.connect(self._ask_load)
        self.native_parent_changed.connect(self._on_parent)
        self.native.destroyed.connect(self._on_destroyed)
        self.controls.refresh()
        self.controls.choose_active()
        self.controls.show_folder()
        self.controls.show_all_planes()

    # the buttons

    def start_apply(self) -> None:
        """Enhance the chosen image in the background, and add the result to the viewer."""

        def start(**slots: Callable[..., object]) -> Run:
            chosen = self.controls
            return start_enhancing(
                self._viewer, chosen.source, chosen.settings, self._on_enhanced, **slots
            )

        self._start(start)

    def start_training(self) -> None:
        """Train the chosen recipe, for the chosen image's samples, in the background."""
        chosen = self.controls
        settings, channels = chosen.settings, chosen.samples
        recipe = replace(chosen.recipe, iterations=settings.training_steps)

        def start(**slots: Callable[..., object]) -> Run:
            return Run(
                f"Training {recipe.name}",
                lambda: train_job(recipe, channels, settings.ndim, settings.device, settings.seed),
                self.controls.add_model,
                **slots,
            )

        if run := self._start(start):
            self._training = run

    def stop(self) -> None:
        """Cancel what was started here."""
        if self._run is not None:
            self._run.cancel()

    def save_model(self, path: str | PathLike[str]) -> None:
        """Write the chosen model, or the bundled one that a name stands for here, to a file."""
        self.status.value = f"Saved {self._chosen_model().save(path)}"

    def load_model(self, path: str | PathLike[str]) -> None:
        """Read a model from a file, and choose it."""
        from napari_noiser import load_model

        self.controls.add_model(load_model(path))
        self.status.value = f"Loaded {path}"

    def _chosen_model(self) -> Model:
        from napari_noiser import load_model

        chosen, ndim = self.controls.model.value, self.controls.ndim.value
        if isinstance(chosen, str):
            return load_model(chosen, channels=self.controls.samples, ndim=ndim)
        return chosen

    def _ask_save(self) -> None:
        if not self._try(self._chosen_model):
            return  # what cannot be saved is said before a name is asked
        dialog = QFileDialog(self.native, "Save model", "", _FILES)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("safetensors")
        if dialog.exec():
            self._try(self.save_model, dialog.selectedFiles()[0])

    def _ask_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.native, "Load model", "", _FILES)
        if path:
            self._try(self.load_model, path)

    def _try(self, act: Callable[..., object], *arguments: str) -> bool:
        try:
            act(*arguments)
        except (ValueError, OSError) as error:
            self.status.value = str(error)
            return False
        return True

    # while work runs

    def _start(self, start: Callable[..., Run]) -> Run | None:
        try:
            self._run = start(on_event=self._on_event, on_end=self._on_end)
        except (Busy, ValueError) as error:
            self.status.value = str(error)
            return None
        self.status.value = "starting…"
        self._set_running(True)
        return self._run

    def _set_running(self, running: bool) -> None:
        self.apply.enabled = self.train.enabled = not running
        self.cancel.enabled = running

    def _on_event(self, event: Event) -> None:
        if self._open:
            loss = f", loss {event.loss:.3f}" if hasattr(event, "loss") else ""
            self.status.value = f"{event.stage} {event.done} of {event.total}{loss}"
            for section in self.sections:
                section.on_event(event)

    def _on_enhanced(self, enhanced: Enhanced) -> None:
        if self._open and enhanced.trained:
            self.controls.add_model(enhanced.model)
        if self._open:
            for section in self.sections:
                section.on_enhanced(enhanced)

    def _on_end(self, outcome: str) -> None:
        self._run = None
        if self._open:
            self._set_running(False)
            failed = outcome.startswith("failed")
            self.status.value = outcome if failed else f"{outcome}: {self.status.value}"

    # what changes around

    def _on_layers(self) -> None:
        if self._open:
            self.controls.refresh()

    def _on_parent(self, parent: object) -> None:
        # Closing the dock: nobody could take a trained model, but a result goes to the viewer.
        if parent is None and self._run is self._training:
            self.stop()
        if parent is None and self._open:
            for section in self.sections:
                section.on_leave()

    def _on_destroyed(self) -> None:
        self._open = False
        self.remarks.on_close()
        for section in self.sections:
            section.on_close()
