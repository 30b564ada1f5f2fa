"""The section that previews what Apply would make, and follows the controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from magicgui.widgets import CheckBox
from napari import Viewer
from napari.layers import Image
from superqt.utils import QSignalThrottler

from napari_noiser._progress import Event, describe_event
from napari_noiser.files.provenance import PROVENANCE
from napari_noiser.plugin.layers.divider import Divider
from napari_noiser.plugin.layers.preview_layer import (
    PreviewLayer,
    PreviewState,
    newest_result,
    preview_state,
)
from napari_noiser.plugin.layers.watcher import LayerWatcher
from napari_noiser.plugin.tasks.background_task import BackgroundTask, TaskRunning
from napari_noiser.plugin.tasks.destinations import TaskResult
from napari_noiser.plugin.tasks.errors import describe_error
from napari_noiser.plugin.tasks.preview_cache import MEASURED, check_trained
from napari_noiser.plugin.widgets.qt_helpers import Note
from napari_noiser.plugin.widgets.section import Section
from napari_noiser.plugin.widgets.settings_form import SettingsForm

_STILL = "The preview still shows the last choice."
_PAUSE = 30  # milliseconds between two renderings: a slider makes hundreds of moves a second


class PreviewSection(Section):
    """A switch for the preview of the chosen image; it stands among the controls, unfolded."""

    title = "Preview"

    def __init__(self, viewer: Viewer, controls: SettingsForm) -> None:
        super().__init__(viewer, controls)
        self.switch = CheckBox(
            text="preview, before | after",
            tooltip="Shows what Apply would make, right of a divider that is dragged in the view; "
            "left of it is the image as it is. It measures the image once, then renders only the "
            "plane that you look at, whenever you change something. Its values are those that "
            "Apply gives; nothing of it is kept.",
        )
        self.note = Note()
        self.extend([self.switch, self.note])
        self._task: BackgroundTask | None = None
        self._shown: PreviewLayer | None = None
        self._drag: Divider | None = None
        self.divider = 0.5  # where the next preview begins, along X
        self._measured: tuple[Any, ...] = ()  # the choice that was measured, or is being
        self._refused: tuple[Any, ...] = ()  # the choice that there is no preview of
        self._throttler = QSignalThrottler(parent=self.native)
        self._throttler.setTimeout(_PAUSE)
        self._watcher = LayerWatcher(self._on_layer_edited)
        self._connect()

    def _connect(self) -> None:
        chosen = self.controls
        self.switch.changed.connect(self._on_switch)
        self._throttler.triggered.connect(self._render)
        rendered = [each for name, each in chosen.options.items() if name not in MEASURED]
        for control in (chosen.model, *rendered):
            control.changed.connect(self._on_rendered_choice)
        measured = [each for name, each in chosen.options.items() if name in MEASURED]
        layers = (chosen.image, chosen.region, chosen.leave_out, chosen.all_planes, chosen.gain)
        for control in (*layers, chosen.axes, chosen.verb, chosen.model, *measured):
            control.changed.connect(self._on_measured_choice)
        self.viewer.layers.events.removed.connect(self._on_removed)

    def on_enhanced(self, enhanced: TaskResult) -> None:
        """Give way to an equal result, which takes over the preview's contrast limits."""
        if self._shown is None:
            return
        source = self._shown.measured.source.name
        result = newest_result(self.viewer.layers, source)
        expected = {**enhanced.provenance, "source": source}
        if result is not None and expected.items() <= result.metadata[PROVENANCE].items():
            _copy_contrast_limits(result, self._shown.layer)
            self.switch.value = False

    def on_leave(self) -> None:
        """Remove the preview, and switch it off."""
        self.switch.value = False

    def on_close(self) -> None:
        """Remove the preview, without the controls, which are gone."""
        super().on_close()
        self._stop()

    # on and off

    def _on_switch(self, on: bool) -> None:
        self.note.say("")
        if not on:
            self._stop()
        elif self._task is None:  # otherwise once it has stopped
            self._start()

    def _refuse(self, reason: str) -> None:
        self.switch.value = False
        self._refused = self._choice()
        self.note.say(reason)

    def _start(self) -> None:
        try:
            self._measure(self._show)
        except (TaskRunning, ValueError) as error:
            self._refuse(describe_error(error))
        else:
            chosen, self._measured = self.controls, self._measured_choice()
            chosen.image.value.events.data.connect(self._restart)
            self._watcher.follow(chosen.region.value, chosen.leave_out.value, chosen.gain_map)

    def _measure(self, show: Callable[[PreviewState], object]) -> None:
        source, settings = self.controls.source, self.controls.settings.snapshot_layers()
        options = settings.resolved
        layout = source.layout(options["ndim"])
        check_trained(settings.model, layout, options["colors"], settings.verb)
        settings.check_gain_map([source])
        self._task = BackgroundTask(
            f"Measuring {source.name}",
            lambda: preview_state(source, settings),
            show,
            self._on_event,
            self._on_end,
        )

    def _stop(self) -> None:
        """Cancel measuring, remove the layer, and drop what was measured."""
        if self._measured:
            self._measured[0].events.data.disconnect(self._restart)
        self._watcher.follow()
        shown, self._shown, self._measured = self._shown, None, ()
        if self._task is not None:
            self._task.cancel()
        if self._drag is not None:
            self._drag.remove()
            self._drag = None
        if shown is not None:
            self.divider = shown.divider
            shown.remove_from(self.viewer.layers)

    def _restart(self) -> None:
        """Measure anew: at once, or when the running task has stopped."""
        self._stop()
        if self._task is None:
            self._start()

    # while it measures

    def _on_event(self, event: Event) -> None:
        if self._measured:
            self.note.say(describe_event(event))

    def _show(self, state: PreviewState) -> None:
        if self._measured:
            self._shown = PreviewLayer(state, "preview")
            self._shown.divider = self.divider
            self._shown.add_to(self.viewer.layers)
            self._drag = Divider(self.viewer, self._shown)
            self._render()  # controls may have changed meanwhile

    def _show_again(self, state: PreviewState) -> None:
        if self._shown is not None:
            self._shown.measured = state.measured
            self._render()

    def _on_end(self, outcome: str) -> None:
        self._task = None
        if not self._open or not self.switch.value:
            return
        if not self._measured:
            self._start()
        elif outcome == "finished":
            self.note.say("")
        elif self._shown is None:
            self._refuse(outcome)
        else:
            self.note.say(f"{outcome}. {_STILL}")

    # what changes around

    def _on_rendered_choice(self) -> None:
        if self._shown is not None:
            self._throttler.throttle()

    def _render(self) -> None:
        if self._shown is None:
            return
        try:
            options = {**self.controls.settings.options, "dtype": None}
            self._shown.update(self.controls.model.value, **options)
        except (TypeError, ValueError) as error:
            self.note.say(f"{describe_error(error)}. {_STILL}")
        else:
            self.note.say("")

    def _on_measured_choice(self) -> None:
        if not self.switch.value:
            if self._choice() != self._refused:
                self.note.say("")  # it is about another choice
            return
        if self._measured_choice() == self._measured:
            return
        if self._measured and self._measured[0] is not self.controls.image.value:
            self.switch.value = False
        else:
            self._restart()

    def _on_layer_edited(self) -> None:
        """Measure with the present region and gain map; until then the preview stays."""
        if self._shown is None:
            self._restart()
            return
        try:
            self._measure(self._show_again)
        except TaskRunning:
            if self._task is not None:
                self._task.cancel()
            self._watcher.refresh()
        except ValueError as error:
            self.note.say(f"{describe_error(error)}. {_STILL}")

    def _on_removed(self, event: Any) -> None:
        if self._shown is not None and event.value is self._shown.layer:
            self.switch.value = False

    def _measured_choice(self) -> tuple[Any, ...]:
        """Return what a measurement depends on, the image first."""
        chosen, model = self.controls, self.controls.model
        layers = (chosen.image, chosen.region, chosen.leave_out, chosen.all_planes)
        controls = [*layers, chosen.axes, chosen.verb]
        # Without a denoiser the camera's noise is not considered.
        unused = set() if model.is_denoiser else {"camera", "repair"}
        names = [name for name in MEASURED if name in chosen.options and name not in unused]
        controls += [chosen.options[name] for name in names]
        needs = (model.requires_gain_map, model.is_denoiser and model.requires_camera_noise)
        return (*(each.value for each in controls), chosen.gain_map, *needs)

    def _choice(self) -> tuple[Any, ...]:
        chosen = self.controls
        return (*self._measured_choice(), chosen.model.value, chosen.options["colors"].value)


def _copy_contrast_limits(result: Image, preview: Image) -> None:
    """Give a result of any type the contrast limits of its preview; a display's are of 0 to 1."""
    display = result.metadata[PROVENANCE]["verb"] == "enhance"
    top = float(np.iinfo(result.dtype).max) if display and result.dtype.kind != "f" else 1.0
    result.contrast_limits = [top * limit for limit in preview.contrast_limits]
