"""The dock widget: the form, the sections below it, and the buttons Apply and Cancel."""

from __future__ import annotations

import sys
from collections.abc import Callable

import napari
from magicgui.widgets import Container, PushButton, Widget
from psygnal import SignalInstance

from napari_noiser._progress import Event
from napari_noiser.plugin.layers.preview_layer import PreviewState
from napari_noiser.plugin.tasks.background_task import BackgroundTask, TaskRunning
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.enhance import start_enhancing
from napari_noiser.plugin.tasks.errors import describe_error
from napari_noiser.plugin.tasks.latest_only import LatestOnly
from napari_noiser.plugin.widgets.compare_section import CompareSection
from napari_noiser.plugin.widgets.image_diagnostics import ImageDiagnostics
from napari_noiser.plugin.widgets.plots_section import PlotsSection
from napari_noiser.plugin.widgets.preview_section import PreviewSection
from napari_noiser.plugin.widgets.provenance_section import ProvenanceSection
from napari_noiser.plugin.widgets.qt_helpers import Note, ScrollPage, foldable, form, row
from napari_noiser.plugin.widgets.section import OptionsSection, Section
from napari_noiser.plugin.widgets.settings_form import (
    NOISE,
    REGION,
    SAVING,
    STACK,
    TOP,
    SettingsForm,
)
from napari_noiser.plugin.widgets.training_section import TrainingSection


class NoiserWidget(Container[Widget]):
    """Enhance or denoise an image layer, and train or fit models."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._title, self._loss, self._n_results = "", "", 0  # of the task that runs
        self._open = True
        self.controls = controls = SettingsForm(viewer)
        self.apply = PushButton(
            text="Apply",
            tooltip="Make a new layer of the chosen image; the image stays as it is.",
        )
        self.cancel = PushButton(
            text="Cancel",
            enabled=False,
            tooltip="Stop now; no half-done layer stays behind. Of a result on disk, what is "
            "finished is kept: Apply goes on with it.",
        )
        self.status = Note()
        self.about = ImageDiagnostics(viewer, controls)
        super().__init__(labels=False, widgets=[self.status, row(self.apply, self.cancel)])
        self._make_sections()
        self.native.layout().insertWidget(0, self._page(), 1)
        self._devices = LatestOnly(_available_devices, controls.offer_devices)
        self._connect()

    def _make_sections(self) -> None:
        viewer, controls, about = self._viewer, self.controls, self.about
        self.preview = PreviewSection(viewer, controls)
        self.training = TrainingSection(viewer, controls, self._start)
        self.option_sections = [
            OptionsSection(viewer, controls, STACK, about.stack),
            OptionsSection(viewer, controls, REGION),
            OptionsSection(viewer, controls, NOISE, about.remarks),
            OptionsSection(viewer, controls, SAVING, about.number_type),
        ]
        self.sections: list[Section] = [
            self.preview,
            *self.option_sections,
            CompareSection(viewer, controls),
            self.training,
            PlotsSection(viewer, controls),
            ProvenanceSection(viewer, controls),
        ]

    def _page(self) -> ScrollPage:
        """Return what is seen at once, and below it the folded sections."""
        about = self.about
        image, others, *chosen, brightness, contrast = self.controls.rows(TOP)
        top = form(image, others, about.taken_for, about.noise, *chosen)
        tone = form(brightness, contrast)
        self._boxes = {
            each.title: foldable(each.title, each.native, each.on_unfold)
            for each in self.sections
            if each is not self.preview
        }
        return ScrollPage(top.native, self.preview.native, tone.native, *self._boxes.values())

    def _connect(self) -> None:
        self.about.change.connect(self._show_axes)
        self.about.examined.connect(self._find_devices)
        self.controls.shown.connect(self._show_sections)
        events = self._viewer.layers.events
        for event in (events.inserted, events.removed, events.renamed):
            event.connect(self._on_layers)
        self.apply.changed.connect(self.start_apply)
        self.cancel.changed.connect(self.stop)
        self.native_parent_changed.connect(self._on_parent)
        self.native.destroyed.connect(self._on_destroyed)
        for signal, slot in self._task_slots:
            signal.connect(slot)
        self.controls.image.changed.connect(self._on_image)
        self.controls.refresh()
        self.controls.choose_active()
        self.controls.update_visibility()
        if BackgroundTask.current is not None:  # started before this widget was opened
            self._on_started(BackgroundTask.current)
        self._find_devices()

    @property
    def _task_slots(self) -> list[tuple[SignalInstance, Callable[..., object]]]:
        of = BackgroundTask.signals
        return [
            (of.started, self._on_started),
            (of.progressed, self._on_event),
            (of.result, self._on_result),
            (of.ended, self._on_end),
        ]

    # the buttons

    def start_apply(self) -> None:
        """Enhance the chosen image in the background, and add the result to the viewer."""
        chosen = self.controls
        self._start(lambda: start_enhancing(self._viewer, chosen.sources, chosen.settings))

    def stop(self) -> None:
        """Cancel the task that runs, whoever started it."""
        if BackgroundTask.current is not None:
            BackgroundTask.current.cancel()
            self.status.say(BackgroundTask.current.progress)

    # while a task runs

    def _start(self, start: Callable[[], BackgroundTask]) -> BackgroundTask | None:
        try:
            return start()
        except (TaskRunning, ValueError) as error:
            self.status.say(describe_error(error))
            return None

    def _set_running(self, running: bool) -> None:
        self.apply.enabled = not running
        self.cancel.enabled = running
        for section in self.sections:
            section.on_running(running)

    def _on_started(self, task: BackgroundTask) -> None:
        self.status.say(f"{task.title}: {task.progress}")
        self._title, self._loss, self._n_results = task.title, "", 0
        self._set_running(True)

    def _on_event(self, event: Event) -> None:
        task = BackgroundTask.current
        if task is not None:
            self.status.say(f"{task.title}: {task.progress}")
        if hasattr(event, "loss"):
            self._loss = f", loss {event.loss:.3f}"
        for section in self.sections:
            section.on_event(event)

    def _on_result(self, result: object) -> None:
        if isinstance(result, PreviewState):
            self._title = ""  # it is seen
        if not isinstance(result, TaskResult):
            return
        self._n_results += 1
        if result.trained:
            self.controls.model.add(result.trained)
        for section in self.sections:
            section.on_enhanced(result)

    def _on_end(self, outcome: str) -> None:
        self._set_running(False)
        self._find_devices()
        if outcome.startswith("failed"):
            self.status.say(outcome)
        elif outcome == "finished" and self._n_results > 1:
            self.status.say(f"finished: {self._n_results} images")
        else:
            title = self._title[:1].lower() + self._title[1:]
            self.status.say(title and f"{outcome}: {title}{self._loss}")

    def _show_axes(self) -> None:
        self._boxes[STACK].expand(animate=False)

    def _show_sections(self) -> None:
        for section in self.option_sections:
            self._boxes[section.title].setVisible(section.needed)

    def _find_devices(self) -> None:
        """Offer what torch sees, once it is there: importing it takes seconds."""
        if "torch" in sys.modules:
            self._devices.submit(None)

    # what changes around

    def _on_layers(self) -> None:
        if self._open:
            self.controls.refresh()

    def _on_image(self) -> None:
        if BackgroundTask.current is None:
            self.status.say("")  # it is about another image

    def _on_parent(self, parent: object) -> None:
        if parent is None and self._open:
            for section in self.sections:
                section.on_leave()

    def _on_destroyed(self) -> None:
        self._open = False
        for signal, slot in self._task_slots:
            signal.disconnect(slot)
        self._devices.cancel()
        self.about.on_close()
        self.controls.on_close()
        for section in self.sections:
            section.on_close()


def _available_devices(_: object) -> tuple[str, ...]:
    from napari_noiser.methods.device import available_devices  # torch: off the GUI's thread

    return available_devices()
