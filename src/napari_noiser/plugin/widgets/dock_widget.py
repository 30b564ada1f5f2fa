"""The dock widget: the form, the sections below it, and the buttons Apply and Cancel."""

from __future__ import annotations

from collections.abc import Callable

import napari
from magicgui.widgets import Container, PushButton, Widget

from napari_noiser._progress import Event
from napari_noiser.plugin.tasks.background_task import BackgroundTask, TaskRunning
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.enhance import start_enhancing
from napari_noiser.plugin.tasks.errors import describe_error
from napari_noiser.plugin.widgets.compare_section import CompareSection
from napari_noiser.plugin.widgets.image_diagnostics import ImageDiagnostics
from napari_noiser.plugin.widgets.plots_section import PlotsSection
from napari_noiser.plugin.widgets.preview_section import PreviewSection
from napari_noiser.plugin.widgets.provenance_section import ProvenanceSection
from napari_noiser.plugin.widgets.qt_helpers import Note, ScrollPage, foldable, form, row
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm
from napari_noiser.plugin.widgets.training_section import TrainingSection


class NoiserWidget(Container[Widget]):
    """Enhance or denoise an image layer, and train or fit models."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._task: BackgroundTask | None = None
        self._n_results = 0  # of this task
        self._open = True
        self.controls = controls = SettingsForm(viewer)
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
        self.status = Note()
        self.remarks = ImageDiagnostics(viewer, controls)
        self.form = form(*controls.rows)
        super().__init__(labels=False, widgets=[self.status, row(self.apply, self.cancel)])
        self.training = TrainingSection(viewer, controls, self._start)
        self.sections: list[Section] = [
            PreviewSection(viewer, controls),
            CompareSection(viewer, controls),
            self.training,
            PlotsSection(viewer, controls),
            ProvenanceSection(viewer, controls),
        ]
        folded = (foldable(each.title, each.native, each.on_unfold) for each in self.sections)
        page = ScrollPage(self.form.native, self.remarks.native, *folded)
        self.native.layout().insertWidget(0, page, 1)
        self._connect()

    def _connect(self) -> None:
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self._on_layers)
        self.apply.changed.connect(self.start_apply)
        self.cancel.changed.connect(self.stop)
        self.native_parent_changed.connect(self._on_parent)
        self.native.destroyed.connect(self._on_destroyed)
        self.controls.refresh()
        self.controls.choose_active()
        self.controls.update_visibility()

    # the buttons

    def start_apply(self) -> None:
        """Enhance the chosen image in the background, and add the result to the viewer."""

        def start(**slots: Callable[..., object]) -> BackgroundTask:
            chosen = self.controls
            return start_enhancing(
                self._viewer, chosen.sources, chosen.settings, self._on_enhanced, **slots
            )

        self._start(start)

    def stop(self) -> None:
        """Cancel the task that was started here."""
        if self._task is not None:
            self._task.cancel()

    # while a task runs

    def _start(self, start: Callable[..., BackgroundTask]) -> BackgroundTask | None:
        try:
            self._task = start(on_event=self._on_event, on_end=self._on_end)
        except (TaskRunning, ValueError) as error:
            self.status.say(describe_error(error))
            return None
        self.status.say("starting…")
        self._n_results = 0
        self._set_running(True)
        return self._task

    def _set_running(self, running: bool) -> None:
        self.apply.enabled = not running
        self.cancel.enabled = running
        for section in self.sections:
            section.on_running(running)

    def _on_event(self, event: Event) -> None:
        if self._open:
            loss = f", loss {event.loss:.3f}" if hasattr(event, "loss") else ""
            self.status.say(f"{event.stage} {event.done} of {event.total}{loss}")
            for section in self.sections:
                section.on_event(event)

    def _on_enhanced(self, enhanced: TaskResult) -> None:
        self._n_results += 1
        if self._open and enhanced.trained:
            self.controls.model.add(enhanced.trained)
        if self._open:
            for section in self.sections:
                section.on_enhanced(enhanced)

    def _on_end(self, outcome: str) -> None:
        self._task = None
        if not self._open:
            return
        self._set_running(False)
        if outcome == "finished" and self._n_results > 1:
            outcome = f"finished: {self._n_results} images"
        elif not outcome.startswith("failed"):
            outcome = f"{outcome}: {self.status.value}"
        self.status.say(outcome)

    # what changes around

    def _on_layers(self) -> None:
        if self._open:
            self.controls.refresh()

    def _on_parent(self, parent: object) -> None:
        if parent is None and self._open:
            for section in self.sections:
                section.on_leave()

    def _on_destroyed(self) -> None:
        self._open = False
        self.remarks.on_close()
        self.controls.on_close()
        for section in self.sections:
            section.on_close()
